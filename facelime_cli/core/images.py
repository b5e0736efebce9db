"""From a picture file to display space: RGB uint8, upright, what a person sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from facelime_cli.core.formats import DICOM_SUFFIXES
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

GREY_AXES = 2
COLOUR_AXES = 3
SHOWABLE_AXES = (GREY_AXES, COLOUR_AXES)
BEYOND_ANY_WINDOW = 1e9
"""A grey value that every window shows as white, and its negative as black."""
MULTI_PICTURE_PHOTO = "MPO"
"""A phone's JPEG whose further frames are previews of the first."""
UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise on damaged files."""
PAPER = (255, 255, 255, 255)
"""What transparent pixels stand on: white, as viewers and web pages show them."""
UINT16_TO_UINT8 = 257
TRUE_GREYS = {"I;16", "I;16L", "I;16B", "I;16N", "I"}


class UnreadableError(FacelimeError):
    """A picture file that cannot be decoded."""


def decode(path: Path) -> Bytes:
    """Return a picture file as display space: what a person sees.

    The EXIF orientation is applied, transparency laid on white, grey repeated, a palette looked up. 16 bits become 8
    by the range of the type (65535 becomes 255), so that equal files always look equal.

    Parameters
    ----------
    path : Path
        Any format that Pillow reads, or DICOM.

    Returns
    -------
    (H, W, 3) uint8 array
        Red, green, blue.

    Raises
    ------
    UnreadableError
        When the file is damaged, holds several pictures, or has values of unknown meaning. The message says which.
    """
    if path.suffix.lower() in DICOM_SUFFIXES:
        return _decode_dicom(path)
    try:
        with Image.open(path) as picture:
            frames = getattr(picture, "n_frames", 1)
            if frames > 1 and picture.format != MULTI_PICTURE_PHOTO:
                raise UnreadableError(f"holds {frames} frames; save the one that is meant as a picture of its own")
            # Before all else: a network that gets faces on their side answers, and nobody sees why it answers wrong.
            upright = ImageOps.exif_transpose(picture)
            return np.array(_to_rgb(upright), dtype=np.uint8)
    except UNREADABLE as why:
        raise UnreadableError(_reason(why)) from why


def decode_mask(path: Path) -> Bytes:
    """Return a mask file as ones and zeros.

    Parameters
    ----------
    path : Path
        Any format that Pillow reads.

    Returns
    -------
    (H, W) uint8 array
        1 where the file is neither black nor transparent, else 0.

    Raises
    ------
    UnreadableError
        When the file is damaged.
    """
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            layered = np.asarray(upright.convert("RGBA"))
    except UNREADABLE as why:
        raise UnreadableError(_reason(why)) from why
    # Any colour counts: data sets mark a region with 1, 255 or a colour of a palette.
    drawn = layered[..., :3].max(axis=-1) > 0
    opaque = layered[..., 3] > 0
    return np.asarray(drawn & opaque, dtype=np.uint8)


def _to_rgb(picture: Image.Image) -> Image.Image:
    # Pillow's own conversion cuts 16 bits off at 255: a radiograph would be white all over.
    if picture.mode in TRUE_GREYS:
        return _from_numbers(np.asarray(picture)).convert("RGB")
    if picture.mode == "F":
        return _from_floats(np.asarray(picture)).convert("RGB")
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        paper = Image.new("RGBA", layered.size, PAPER)
        return Image.alpha_composite(paper, layered).convert("RGB")
    return picture.convert("RGB")


def _from_floats(values: NDArray[Any]) -> Image.Image:
    # Other ranges are refused, not stretched: stretching each file by its own range makes bright pictures of dark ones.
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise UnreadableError("holds floating-point values outside 0…1, whose meaning is not known")
    levels = np.round(values * 255)
    return Image.fromarray(levels.astype(np.uint8))


def _from_numbers(values: NDArray[Any]) -> Image.Image:
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > np.iinfo(np.uint16).max:
        raise UnreadableError("holds integers outside 0…65535, whose meaning is not known")
    return Image.fromarray(_reduced(wide))


def _reduced(values: NDArray[Any]) -> Bytes:
    """Return 16 bits as 8, rounded: 65535 is 255 × 257."""
    wide = values.astype(np.int64)
    return ((wide + UINT16_TO_UINT8 // 2) // UINT16_TO_UINT8).astype(np.uint8)


def _reason(why: Exception) -> str:
    if isinstance(why, UnreadableError):
        return str(why)
    if "cannot identify image file" in str(why):
        return "is not a picture in a known format"
    if isinstance(why, OSError) and why.strerror:
        return why.strerror.lower()
    return str(why).rstrip(".") or type(why).__name__


def display(values: NDArray[Any]) -> Bytes:
    """Return an array from a file of arrays as display space.

    Parameters
    ----------
    values : (H, W) or (H, W, 1) or (H, W, 3) uint8 or uint16 array
        Grey, or red, green and blue.

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    UnreadableError
        For another shape or type, whose meaning is not known.

    Examples
    --------
    >>> display(np.array([[65535]], np.uint16)).tolist()
    [[[255, 255, 255]]]
    """
    flat = values
    if values.ndim == COLOUR_AXES and values.shape[-1] == 1:
        flat = values[..., 0]
    if flat.dtype == np.uint16:
        flat = _reduced(flat)
    of_three = flat.ndim != COLOUR_AXES or flat.shape[-1] == COLOUR_AXES
    if flat.dtype != np.uint8 or flat.ndim not in SHOWABLE_AXES or not of_three:
        raise UnreadableError(
            f"is an array {values.shape} of {values.dtype}, not (H, W) or (H, W, 3) of uint8 or uint16"
        )
    return _repeated(flat) if flat.ndim == GREY_AXES else flat


def _repeated(grey: Bytes) -> Bytes:
    """Return a grey picture (H, W) as red, green and blue of the same: (H, W, 3)."""
    return np.repeat(grey[..., None], 3, axis=-1)


def _decode_dicom(path: Path) -> Bytes:
    """Return a DICOM picture as it is meant to be seen: rescaled, windowed, white on black.

    Nothing else of the file is kept: its header names the patient.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, convert_color_space

    try:
        data = pydicom.dcmread(path)
        frames = int(data.get("NumberOfFrames", 1) or 1)
        if frames > 1:
            raise UnreadableError(f"holds {frames} frames; save the one that is meant as a file of its own")
        kind = str(data.PhotometricInterpretation)
        values = data.pixel_array
        if values.ndim == COLOUR_AXES:
            return display(values if kind == "RGB" else convert_color_space(values, kind, "RGB"))
        # The order of the standard (PS3.3 C.11): stored values, then the modality's unit, then the window on it.
        rescaled = apply_modality_lut(values, data)
        seen = np.asarray(apply_voi_lut(rescaled, data), dtype=np.float64)
        least, most = _shown_range(seen, data)
    except (InvalidDicomError, *UNREADABLE, AttributeError, NotImplementedError, RuntimeError) as why:
        raise UnreadableError(_reason(why)) from why
    width = max(most - least, np.finfo(float).tiny)
    shown = np.clip((seen - least) / width, 0, 1)
    # MONOCHROME1 stores bone as black. Shown as it is stored, half of a mixed data set would be negatives.
    if kind == "MONOCHROME1":
        shown = 1 - shown
    return _repeated((255 * shown).round().astype(np.uint8))


def _shown_range(seen: NDArray[np.float64], data: Any) -> tuple[float, float]:
    """Return which values are black and white.

    The whole output of the file's window or table where it has one, else the range of the picture.
    """
    from pydicom.pixels.processing import apply_voi_lut

    # The window's range, not the picture's: one bright implant must not darken the lungs beside it.
    if data.get("VOILUTSequence"):
        bits = int(data.VOILUTSequence[0].LUTDescriptor[2])
        return 0.0, float(2**bits - 1)
    if "WindowCenter" in data:
        extremes = np.array([-BEYOND_ANY_WINDOW, BEYOND_ANY_WINDOW])
        least, most = apply_voi_lut(extremes, data)
        return float(least), float(most)
    return float(seen.min()), float(seen.max())


def patient_of(path: Path) -> str | None:
    """Return the patient id of a DICOM file, for its salted hash.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    str or None
        None where the id is empty, the file is damaged, or it is no DICOM file.
    """
    if path.suffix.lower() not in DICOM_SUFFIXES:
        return None
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        # The one tag that is needed: names and dates are never read into memory.
        data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"])
        patient = data.get("PatientID")
    except (InvalidDicomError, OSError):
        return None
    # "None" is what an absent id looks like as text: it would make one patient of all that have none.
    if patient is None:
        return None
    return str(patient) or None
