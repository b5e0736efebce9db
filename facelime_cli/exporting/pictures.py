"""Maps as files of one picture each: a transparent overlay, or numbers."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from facelime_cli.drawing import overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from facelime_cli.exporting.folders import Folder
    from facelime_cli.exporting.maps import Map

TOP = 10
"""How many of the strongest segments are drawn, as in a report."""
NIFTI_HEADER, NIFTI_OFFSET = 348, 352
"""Bytes of the header, and where values begin: four more say that no extension follows."""
NIFTI_FLOAT32, NIFTI_BITS = 16, 32
NIFTI_SCANNER = 1
"""The code of coordinates of the picture itself."""
NIFTI_MOST = 32_767
"""Pixels of a side: the header has 16 bits with a sign for it."""


def overlays(maps: Iterable[Map], folder: Folder) -> Iterator[tuple[Map, list[str]]]:
    """Write transparent PNG files to be laid over the original pictures.

    Parameters
    ----------
    maps : iterable of Map
    folder : Folder

    Yields
    ------
    Map, list of str
        What was written, and the names of the files.
    """
    return _each(maps, folder, ".png", _png)


def arrays(maps: Iterable[Map], folder: Folder) -> Iterator[tuple[Map, list[str]]]:
    """Write NumPy files: float32, NaN where the model saw nothing; as `overlays`."""
    return _each(maps, folder, ".npy", _npy)


def volumes(maps: Iterable[Map], folder: Folder) -> Iterator[tuple[Map, list[str]]]:
    """Write NIfTI files of one slice: float32, 0 where the model saw nothing; as `overlays`."""
    return _each(maps, folder, ".nii", _nifti)


def _each(
    maps: Iterable[Map], folder: Folder, ending: str, content_of: Callable[[Map], bytes]
) -> Iterator[tuple[Map, list[str]]]:
    for each in maps:
        yield each, [folder.write(folder.name(each, ending), content_of(each))]


def drawn(each: Map) -> NDArray[np.uint8]:
    """Return a map as a transparent drawing on its original.

    Parameters
    ----------
    each : Map

    Returns
    -------
    (H, W, 4) uint8 array
        Red, green, blue and opacity.
    """
    on_picture = overlay.transparent(each.segments, each.coefficients, TOP, each.confirmed)
    return each.placement.restored(on_picture, outside=0)


def _png(each: Map) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(drawn(each)).save(stream, "PNG")
    return stream.getvalue()


def _npy(each: Map) -> bytes:
    stream = io.BytesIO()
    np.save(stream, each.on_original(np.nan), allow_pickle=False)
    return stream.getvalue()


def _nifti(each: Map) -> bytes:
    # Viewers draw NaN as anything.
    return nifti(each.on_original(0.0))


def nifti(values: NDArray[Any]) -> bytes:
    """Return a picture of numbers as a NIfTI-1 file of one slice.

    Parameters
    ----------
    values : (H, W) float32 array

    Returns
    -------
    bytes
        Columns run to the patient's left and rows to the back, a millimetre each: this is where ITK puts pictures that
        say nothing of it, such as PNG files, so that both lie on each other.

    References
    ----------
    The NIfTI-1 data format, nifti1.h of 2007; its fields by their names there.
    """
    height, width = values.shape
    header = bytearray(NIFTI_OFFSET)

    def put(place: int, form: str, *numbers: float | bytes) -> None:
        struct.pack_into(f"<{form}", header, place, *numbers)

    put(0, "i", NIFTI_HEADER)  # sizeof_hdr
    put(40, "8h", 3, width, height, 1, 1, 1, 1, 1)  # dim
    put(70, "2h", NIFTI_FLOAT32, NIFTI_BITS)  # datatype, bitpix
    put(76, "8f", 1, 1, 1, 1, 0, 0, 0, 0)  # pixdim: the first is the sign of the third axis
    put(108, "3f", NIFTI_OFFSET, 1, 0)  # vox_offset, scl_slope, scl_inter
    put(123, "B", 2)  # xyzt_units: millimetres
    put(148, "80s", b"facelime: coefficients; not for diagnostic use")  # descrip
    put(252, "2h", NIFTI_SCANNER, NIFTI_SCANNER)  # qform_code, sform_code
    put(256, "6f", 0, 0, 1, 0, 0, 0)  # quatern_b, _c, _d, qoffset_x, _y, _z: half a turn about the third axis
    put(280, "12f", -1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0)  # srow_x, _y, _z
    put(344, "4s", b"n+1\0")  # magic: header and values in one file
    # The first axis is the column, and changes fastest.
    return bytes(header) + values.astype("<f4").tobytes()
