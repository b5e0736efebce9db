"""From a picture file to display space: RGB uint8, upright, what a person sees."""

from __future__ import annotations

import math
import os
import struct
import tokenize
import warnings
import zlib
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from facelime_cli.core.formats import DICOM_SUFFIXES
from facelime_cli.core.opening import NotRegularError, opened
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

GREY_AXES = 2
COLOUR_AXES = 3
SHOWABLE_AXES = (GREY_AXES, COLOUR_AXES)
BEYOND_ANY_WINDOW = 1e9
"""A grey value that every window shows as white, and its negative as black."""
WINDOWED = ("MONOCHROME1", "MONOCHROME2")
"""DICOM's kinds of grey pictures. The pixels of a palette are numbers of colours, not grey values."""
RESCALING = ("RescaleSlope", "RescaleIntercept")
FEWEST_BITS, MOST_BITS = 8, 16
"""Of an entry of a DICOM table of grey values."""
MOST_PIXELS = 178_956_970
"""Of a picture that is read. Pillow, too, takes more for a file that shall fill the memory."""
TOO_LARGE = f"declares more than {MOST_PIXELS:,} pixels, the most that are read; make it smaller"
REASONS: dict[type[Exception], str] = {
    MemoryError: "does not fit into the memory; make it smaller",
    Image.DecompressionBombError: TOO_LARGE,
}
"""What errors say that have no words for people."""
STDERR = 2
"""The file descriptor that libraries in C write to."""
PROGRAMS = {"EPS"}
"""Formats that Pillow reads by running another program on the file."""
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
    AttributeError,
    AssertionError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
    Image.DecompressionBombError,
)
"""What decoders of Pillow, NumPy and pydicom raise on damaged files."""
PAPER = (255, 255, 255, 255)
"""What transparent pixels stand on: white, as viewers and web pages show them."""
UINT16_TO_UINT8 = 257
TRUE_GREYS = {"I;16", "I;16L", "I;16B", "I;16N", "I"}


class UnreadableError(FacelimeError):
    """A picture file that cannot be decoded."""


@dataclass(frozen=True)
class Reading:
    """How a picture file is read, where it does not say so itself.

    Attributes
    ----------
    frame : int or None
        The frame of a file with several that is meant, counted from 1. None: such a file is refused.
    bits : int or None
        How many bits of a value are used: with 12, 4095 is white. None: the range of the type.
    """

    frame: int | None = None
    bits: int | None = None


@dataclass(frozen=True)
class Decoded:
    """A picture file in display space, and how it was read.

    Attributes
    ----------
    image : (H, W, 3) uint8 array
        Red, green, blue.
    kind : str
        The format of the file, such as "JPEG" or "DICOM", by its content.
    notes : tuple of str
        What was done with it, as short words such as "profile:Display P3" or "bits:12". No names and no numbers
        of patients.
    warnings : tuple of str
        What a person has to know of it, to stand behind the file's name.
    """

    image: Bytes
    kind: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


AS_IT_SAYS = Reading()
"""Every file is read as it says itself."""


def decode(path: Path) -> Bytes:
    """Return a picture file as display space alone: `read` says how it was read, too.

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
        As `read` does.
    """
    return read(path).image


def read(path: Path, how: Reading = AS_IT_SAYS) -> Decoded:
    """Return a picture file as display space: what a person sees.

    The EXIF orientation is applied, transparency laid on white, grey repeated, a palette looked up. 16 bits become 8
    by the range of the type (65535 becomes 255), so that equal files always look equal.

    Parameters
    ----------
    path : Path
        Any format that Pillow reads, or DICOM.
    how : Reading

    Returns
    -------
    Decoded

    Raises
    ------
    UnreadableError
        When the file is damaged, holds several pictures, or has values of unknown meaning. The message says which.
    """
    if path.suffix.lower() in DICOM_SUFFIXES:
        return Decoded(_decode_dicom(path), "DICOM")
    try:
        with picture_in(path) as picture:
            frames = getattr(picture, "n_frames", 1)
            if how.frame is None and frames > 1 and picture.format != MULTI_PICTURE_PHOTO:
                raise UnreadableError(f"holds {frames} frames; save the one that is meant as a picture of its own")
            # Before all else: a network that gets faces on their side answers, and nobody sees why it answers wrong.
            upright = ImageOps.exif_transpose(picture)
            return Decoded(np.array(_to_rgb(upright), dtype=np.uint8), picture.format or "")
    except UNREADABLE as why:
        raise UnreadableError(reason(why)) from why


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
        with picture_in(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            layered = np.asarray(upright.convert("RGBA"))
            red, green, blue, opacity = (layered[..., channel] for channel in range(4))
            # Any colour counts: data sets mark a region with 1, 255 or a colour of a palette.
            return np.asarray(((red | green | blue) > 0) & (opacity > 0), dtype=np.uint8)
    except UNREADABLE as why:
        raise UnreadableError(reason(why)) from why


@contextmanager
def picture_in(path: Path) -> Iterator[Image.Image]:
    """Open a picture file with Pillow.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Image
        Not decoded yet.

    Raises
    ------
    UnreadableError
        When it is of a format that needs another program.
    OSError
        When it is no regular file, or no picture. Decoders raise the rest of `UNREADABLE`.
    """
    # What Pillow warns of (large pictures, odd metadata) is no message for people.
    with opened(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(stream) as picture:
            if picture.format in PROGRAMS:
                raise UnreadableError("is not a picture in a known format")
            with _silent() if picture.format == "TIFF" else nullcontext():
                yield picture


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what libtiff itself writes to the terminal away from it: a sentence says what is wrong with the file."""
    try:
        terminal = os.dup(STDERR)
    except OSError:
        # Closed from the start, so that nothing can be written there.
        yield
        return
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, STDERR)
        os.close(nothing)
        yield
    finally:
        os.dup2(terminal, STDERR)
        os.close(terminal)


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


def reason(why: BaseException) -> str:
    """Return what a decoder's error says, to stand behind the name of the file.

    Parameters
    ----------
    why : exception
        One of `UNREADABLE`.

    Returns
    -------
    str
    """
    if isinstance(why, UnreadableError):
        return str(why)
    if isinstance(why, NotRegularError):
        return f"is {why.strerror}"
    known = next((words for kind, words in REASONS.items() if isinstance(why, kind)), None)
    if known is not None:
        return known
    if "cannot identify image file" in str(why):
        return "is not a picture in a known format"
    if isinstance(why, OSError) and why.strerror:
        return why.strerror.lower()
    lines = str(why).split("\n")
    return lines[0].strip().rstrip(".") or type(why).__name__


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
    if not values.size:
        raise UnreadableError(f"is an array {values.shape}, which has no pixels")
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
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, convert_color_space

    try:
        # What pydicom and NumPy warn of, such as a number that overflows, is checked for below.
        with opened(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = pydicom.dcmread(stream)
            kind = _checked_kind(data)
            values = data.pixel_array
            if values.ndim == COLOUR_AXES:
                return display(values if kind == "RGB" else convert_color_space(values, kind, "RGB"))
            _check_grey(data, kind)
            # The order of the standard (PS3.3 C.11): stored values, then the modality's unit, then the window on it.
            rescaled = apply_modality_lut(values, data)
            seen = np.asarray(apply_voi_lut(rescaled, data), dtype=np.float64)
            least, most = _shown_range(seen, data)
    except (*UNREADABLE, pydicom.errors.InvalidDicomError, pydicom.errors.BytesLengthException) as why:
        raise UnreadableError(reason(why)) from why
    if not (np.isfinite(seen).all() and math.isfinite(most - least)):
        raise UnreadableError("has grey values that are not finite; correct its rescale slope, intercept or window")
    width = max(most - least, np.finfo(float).tiny)
    shown = np.clip((seen - least) / width, 0, 1)
    # MONOCHROME1 stores bone as black. Shown as it is stored, half of a mixed data set would be negatives.
    if kind == "MONOCHROME1":
        shown = 1 - shown
    return _repeated((255 * shown).round().astype(np.uint8))


def _checked_kind(data: Any) -> str:
    """Return what the pixels mean; refuse what is no single picture of a size that can be read."""
    frames = data.get("NumberOfFrames")
    if frames not in {None, "", 0, 1}:
        raise UnreadableError(f"holds {frames} frames; save the one that is meant as a file of its own")
    sides = [int(data.get(name) or 0) for name in ("Rows", "Columns")]
    if min(sides) < 1:
        raise UnreadableError(f"has {sides[0]} rows and {sides[1]} columns, so there is no picture")
    if math.prod(sides) > MOST_PIXELS:
        raise UnreadableError(TOO_LARGE)
    return str(data.PhotometricInterpretation)


def _check_grey(data: Any, kind: str) -> None:
    """Refuse grey values without a meaning: a palette's numbers, and a rescaling or window that is no number."""
    if kind not in WINDOWED:
        raise UnreadableError(f"has pixels of the kind {kind}, which is not read; save it as a grey or an RGB picture")
    rescaling = [_number(data, name) for name in RESCALING]
    for name, number in zip(RESCALING, rescaling, strict=True):
        # An empty tag says as little as an absent one, but pydicom would calculate with it.
        if number is None and name in data:
            del data[name]
    if (rescaling[0] is None) != (rescaling[1] is None) or rescaling[0] == 0:
        raise UnreadableError(
            f"has the rescale slope {_shown(rescaling[0])} and intercept {_shown(rescaling[1])}; correct them"
        )
    if data.get("VOILUTSequence"):
        return
    center, width = (_number(data, name) for name in ("WindowCenter", "WindowWidth"))
    if center is None and width is None:
        return
    if center is None or width is None or width <= 0 or abs(center) + width > BEYOND_ANY_WINDOW:
        raise UnreadableError(
            f"has a window of center {_shown(center)} and width {_shown(width)}, which shows nothing; correct it"
        )


def _number(data: Any, name: str) -> float | None:
    """Return a number of a DICOM file, the first of several; None where it is absent or empty."""
    value = data.get(name)
    if value is not None and data[name].VM > 1:
        value = value[0]
    if value is None or value == "":
        return None
    number = float(value)
    if not math.isfinite(number):
        raise UnreadableError(f"has the {name} {value}, which is no finite number; correct it")
    return number


def _shown(number: float | None) -> str:
    return "none" if number is None else f"{number:g}"


def _shown_range(seen: NDArray[np.float64], data: Any) -> tuple[float, float]:
    """Return which values are black and white.

    The whole output of the file's window or table where it has one, else the range of the picture.
    """
    from pydicom.pixels.processing import apply_voi_lut

    # The window's range, not the picture's: one bright implant must not darken the lungs beside it.
    if data.get("VOILUTSequence"):
        bits = int(data.VOILUTSequence[0].LUTDescriptor[2])
        if not FEWEST_BITS <= bits <= MOST_BITS:
            raise UnreadableError(f"has a table of {bits} bits, not of {FEWEST_BITS} to {MOST_BITS}; correct it")
        return 0.0, float(2**bits - 1)
    if _number(data, "WindowCenter") is not None:
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

    try:
        with opened(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The one tag that is needed: names and dates are never read into memory.
            data = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=["PatientID"])
            patient = data.get("PatientID")
    except (*UNREADABLE, pydicom.errors.InvalidDicomError, pydicom.errors.BytesLengthException):
        return None
    # "None" is what an absent id looks like as text: it would make one patient of all that have none.
    if patient is None:
        return None
    return str(patient) or None
