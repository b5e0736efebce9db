"""Which files are pictures, by their endings and by their first bytes, and which are label maps."""

from __future__ import annotations

import re
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
        ".apng",
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
        ".pfm",
        ".jp2",
        ".j2k",
        ".j2c",
        ".jpc",
        ".jpf",
        ".jpx",
        ".heic",
        ".heif",
        ".hif",
        ".avif",
        ".avifs",
        # Not read, but pictures: each is named as one that is left out.
        ".jls",
        ".jxl",
    }
)
DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
ARRAYS_SUFFIX = ".npz"
NUMPY_SUFFIX = ".npy"
LABEL_SUFFIXES = (".png", ".tif", ".tiff", NUMPY_SUFFIX)
"""Formats that keep whole numbers as they are. JPEG would mix neighbouring labels into new ones."""
NAMED_SUFFIXES = re.compile(
    r"\.(7z|arw|avi|bin|cr2|cr3|csv|czi|dat|db|dng|docx|e2e|emf|eps|exr|fda|fits?|gz|h5|hdf5|hdr|html?|ico|img|json|lif"
    r"|m4v|mat|md|mha|mhd|mkv|mov|mp4|mpe?g|mrxs|nd2|ndpi|nef|nii|np[yz]|nrrd|oct|orf|pcx|pdf|pkl|psd|py|raf|rar|raw"
    r"|rw2|scn|sgi|sv[gs]|tar|tga|tgz|tsv|txt|vms|vol|vsi|xlsx?|xml|ya?ml|zip)"
)
"""Endings that are named where a file is passed over. Any other may be a part of a name, such as that of a patient."""
COMPRESSED_SUFFIX = ".gz"
NOT_SNIFFED = frozenset({".csv", ".tsv", ".txt", ".json", ".xml", ".md", ".html", ".htm", ".py", ".yaml", ".yml"})
"""Endings of texts: nobody looks for a picture in these."""
OF_SYSTEMS = frozenset({"thumbs.db", "desktop.ini", "dicomdir", "lockfile", "version", "__macosx"})
"""Names that systems give to files of their own beside pictures, in small letters."""
NO_SUFFIX = "without a suffix"
OTHER_SUFFIX = "of another kind"

DICOM_START = 1024
"""Bytes in which the class of a DICOM file stands: that of the files' own group comes first."""
DICOMDIR_CLASS = b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"
"""The element (0002,0002) of the index of a disc, as it stands in the file."""

HEAD = 132
"""Bytes by which the kind of a file is known: DICOM has its mark behind a preamble of 128."""
DICOM = "DICOM"
HEIC, JPEG, AVIF = "HEIC", "JPEG", "AVIF"
DICOM_MARK = b"DICM"
_MARKS = (
    (rb"\xff\xd8\xff\xf7", "JPEG-LS"),
    (rb"\xff\xd8\xff", JPEG),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"GIF8[79]a", "GIF"),
    (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"RIFF.{4}WEBP", "WebP"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"P[1-7fF]\s", "PPM"),
    (rb".{4}ftypavi[fs]", AVIF),
    (rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1|miaf)", HEIC),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL"),
    (rb".{128}DICM", DICOM),
    (rb"8BPS", "PSD"),
    (rb"%PDF", "PDF"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "EPS"),
    (rb"SIMPLE  =", "FITS"),
    (rb"\x76\x2f\x31\x01", "OpenEXR"),
    (rb"PK\x03\x04", "ZIP"),
    (rb"\x1f\x8b", "gzip"),
    (rb"\x89HDF\r\n", "HDF5"),
    (rb"\x93NUMPY", "NumPy"),
    (rb"\s*<(\?xml|svg|!DOCTYPE|html)", "XML"),
)
NOT_READ = {"JPEG-LS", "JPEG XL", "PSD", "PDF", "EPS", "FITS", "OpenEXR", "ZIP", "gzip", "HDF5", "NumPy", "XML"}
"""Kinds of files that no decoder here reads."""
_KINDS = [(re.compile(mark, re.DOTALL), kind) for mark, kind in _MARKS]


def kind_of(head: bytes) -> str | None:
    r"""Return what a file is by its first bytes, or None where they are no known mark.

    Parameters
    ----------
    head : bytes
        The first `HEAD` bytes, or all of a shorter file.

    Returns
    -------
    str or None

    Examples
    --------
    >>> kind_of(b"\x89PNG\r\n\x1a\n")
    'PNG'
    """
    found = next((kind for mark, kind in _KINDS if mark.match(head)), None)
    # An AVIF file may say so only in its second brand.
    return AVIF if found == HEIC and b"avif" in head[:32] else found


def passed_over(name: str) -> str:
    """Return of which kind a file is that is no picture, in words that hold no part of its name.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Examples
    --------
    >>> passed_over("scan-01.nii.gz"), passed_over("IM0001"), passed_over("letter.mueller")
    ('.nii.gz', 'without a suffix', 'of another kind')
    """
    stem, dot, last = name.lower().rpartition(".")
    if not dot:
        return NO_SUFFIX
    before = f".{stem.rpartition('.')[2]}"
    if f".{last}" == COMPRESSED_SUFFIX and NAMED_SUFFIXES.fullmatch(before):
        return f"{before}{COMPRESSED_SUFFIX}"
    return f".{last}" if NAMED_SUFFIXES.fullmatch(f".{last}") else OTHER_SUFFIX


def is_marked(head: bytes) -> bool:
    """Return whether the first bytes of a file say that it is DICOM.

    Parameters
    ----------
    head : bytes
        The first `HEAD` bytes, or all of a shorter file.

    Returns
    -------
    bool
    """
    return head[HEAD - len(DICOM_MARK) :] == DICOM_MARK


def has_dicom_mark(path: Path) -> bool:
    """Return whether a file begins as DICOM files do, whatever its name.

    Parameters
    ----------
    path : Path
        Any path.

    Returns
    -------
    bool
        False for what is no regular file; and where the letters that say DICOM are missing, as in some old files: then
        the ending of the name must say it.
    """
    try:
        with opened(path) as stream:
            return is_marked(stream.read(HEAD))
    except OSError:
        return False


def is_dicom(path: Path) -> bool:
    """Return whether a file is a DICOM object, whatever its name: files of a disc are often called `IM0001`.

    Parameters
    ----------
    path : Path
        Any path.

    Returns
    -------
    bool
        As `has_dicom_mark`, but False for the index of a disc, which describes files and holds no object.
    """
    try:
        with opened(path) as stream:
            # A picture of another format pays for the first bytes alone.
            return is_marked(stream.read(HEAD)) and DICOMDIR_CLASS not in stream.read(DICOM_START)
    except OSError:
        return False
