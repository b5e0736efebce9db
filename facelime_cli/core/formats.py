"""Which files are pictures, and which are label maps: by their endings, and DICOM by its first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facelime_cli.core.opening import opened

if TYPE_CHECKING:
    from pathlib import Path

# Spelled out, not asked of Pillow: a folder must hold the same pictures whatever plugins an installation has.
PICTURE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".bmp",
        ".dib",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
    }
)
DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
ARRAYS_SUFFIX = ".npz"
NUMPY_SUFFIX = ".npy"
LABEL_SUFFIXES = (".png", ".tif", ".tiff", NUMPY_SUFFIX)
"""Formats that keep whole numbers as they are. JPEG would mix neighbouring labels into new ones."""
DICOM_PREAMBLE = 128
"""Bytes of anything, before the letters that say DICOM (PS3.10, 7.1)."""
DICOM_LETTERS = b"DICM"
DICOM_START = 1024
"""Bytes in which the class of a DICOM file stands: that of the files' own group comes first."""
DICOMDIR_CLASS = b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"
"""The element (0002,0002) of the index of a disc, as it stands in the file."""


def is_dicom(path: Path) -> bool:
    """Return whether a file is a DICOM object, whatever its name: files of a disc are often called `IM0001`.

    Parameters
    ----------
    path : Path
        Any path.

    Returns
    -------
    bool
        False for the index of a disc, which describes files and holds no object; for what is no regular file; and
        where the letters that say DICOM are missing, as in some old files: then the ending of the name must say it.
    """
    try:
        with opened(path) as stream:
            start = stream.read(DICOM_PREAMBLE + len(DICOM_LETTERS))
            # A picture of another format pays for these bytes alone.
            return start[DICOM_PREAMBLE:] == DICOM_LETTERS and DICOMDIR_CLASS not in stream.read(DICOM_START)
    except OSError:
        return False
