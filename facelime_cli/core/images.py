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

COLOUR_AXES = 3
BEYOND_ANY_WINDOW = 1e9
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


def decode(path: Path) -> NDArray[np.uint8]:
    """Return a picture file as display space.

    EXIF orientation is applied, transparency laid on white, grey repeated, a palette looked up, 16 bits reduced to 8 by the range of the type
    (65535 becomes 255), so that equal files always look equal.

    Parameters
    ----------
    path : Path
        Any format that Pillow reads.

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    UnreadableError
        With the reason in words.
    """
    if path.suffix.lower() in DICOM_SUFFIXES:
        return _decode_dicom(path)
    try:
        with Image.open(path) as picture:
            if (frames := getattr(picture, "n_frames", 1)) > 1 and picture.format != MULTI_PICTURE_PHOTO:
                raise UnreadableError(f"holds {frames} frames; save the one that is meant as a picture of its own")
            upright = ImageOps.exif_transpose(picture)
            return np.array(_to_rgb(upright), dtype=np.uint8)
    except UNREADABLE as why:
        raise UnreadableError(_reason(why)) from why


def decode_mask(path: Path) -> NDArray[np.uint8]:
    """Return a mask file as (H, W) uint8, 1 where it is neither black nor transparent."""
    try:
        with Image.open(path) as picture:
            layered = np.asarray(ImageOps.exif_transpose(picture).convert("RGBA"))
    except UNREADABLE as why:
        raise UnreadableError(_reason(why)) from why
    return np.asarray((layered[..., :3].max(axis=-1) > 0) & (layered[..., 3] > 0), dtype=np.uint8)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in TRUE_GREYS:
        return _from_numbers(np.asarray(picture)).convert("RGB")
    if picture.mode == "F":
        values = np.asarray(picture)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise UnreadableError("holds floating-point values outside 0…1, whose meaning is not known")
        return Image.fromarray(np.round(values * 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, PAPER), layered).convert("RGB")
    return picture.convert("RGB")


def _from_numbers(values: NDArray[Any]) -> Image.Image:
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > np.iinfo(np.uint16).max:
        raise UnreadableError("holds integers outside 0…65535, whose meaning is not known")
    return Image.fromarray(_reduced(wide))


def _reduced(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 16 bits as 8."""
    return ((values.astype(np.int64) + UINT16_TO_UINT8 // 2) // UINT16_TO_UINT8).astype(np.uint8)


def _reason(why: Exception) -> str:
    if isinstance(why, UnreadableError):
        return str(why)
    if "cannot identify image file" in str(why):
        return "is not a picture in a known format"
    if isinstance(why, OSError) and why.strerror:
        return why.strerror.lower()
    return str(why).rstrip(".") or type(why).__name__


def display(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an array from a file of arrays as display space.

    Parameters
    ----------
    values : (H, W) or (H, W, 1) or (H, W, 3) uint8 or uint16 array

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    UnreadableError
        For another shape or type, whose meaning is not known.
    """
    flat = values[..., 0] if values.ndim == COLOUR_AXES and values.shape[-1] == 1 else values
    if flat.dtype == np.uint16:
        flat = _reduced(flat)
    if (
        flat.dtype != np.uint8
        or flat.ndim not in (2, COLOUR_AXES)
        or (flat.ndim == COLOUR_AXES and flat.shape[-1] != COLOUR_AXES)
    ):
        raise UnreadableError(
            f"is an array {values.shape} of {values.dtype}, not (H, W) or (H, W, 3) of uint8 or uint16"
        )
    return np.repeat(flat[..., None], 3, axis=-1) if flat.ndim == 2 else flat  # noqa: PLR2004 - grey


def _decode_dicom(path: Path) -> NDArray[np.uint8]:
    """Return a DICOM picture as it is meant to be seen: rescaled, windowed, white on black. Nothing else of the file is kept."""
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, convert_color_space

    try:
        data = pydicom.dcmread(path)
        frames = int(data.get("NumberOfFrames", 1) or 1)
        if frames > 1:
            raise UnreadableError(f"holds {frames} frames; save the one that is meant as a file of its own")
        kind, values = str(data.PhotometricInterpretation), data.pixel_array
        if values.ndim == COLOUR_AXES:
            return display(values if kind == "RGB" else convert_color_space(values, kind, "RGB"))
        rescaled = apply_modality_lut(values, data)
        seen = np.asarray(apply_voi_lut(rescaled, data), dtype=np.float64)
        least, most = _shown_range(seen, data)
    except (InvalidDicomError, *UNREADABLE, AttributeError, NotImplementedError, RuntimeError) as why:
        raise UnreadableError(_reason(why)) from why
    shown = np.clip((seen - least) / max(most - least, np.finfo(float).tiny), 0, 1)
    grey = (255 * (1 - shown if kind == "MONOCHROME1" else shown)).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _shown_range(seen: NDArray[np.float64], data: Any) -> tuple[float, float]:
    """Return which values are black and white: the whole output of the file's window or table where it has one, else the range of the picture."""
    from pydicom.pixels.processing import apply_voi_lut

    if data.get("VOILUTSequence"):
        return 0.0, float(2 ** int(data.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    if "WindowCenter" in data:
        least, most = apply_voi_lut(np.array([-BEYOND_ANY_WINDOW, BEYOND_ANY_WINDOW]), data)
        return float(least), float(most)
    return float(seen.min()), float(seen.max())


def patient_of(path: Path) -> str | None:
    """Return the patient id of a DICOM file, for its salted hash; None for every other file and where it is empty."""
    if path.suffix.lower() not in DICOM_SUFFIXES:
        return None
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        found = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"]).get("PatientID")
    except (InvalidDicomError, OSError):
        return None
    return str(found) or None if found is not None else None
