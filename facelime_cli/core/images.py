"""From a picture file to display space: RGB uint8, upright, what a person sees."""

from __future__ import annotations

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

from facelime_cli.core.formats import DICOM_SUFFIXES, is_dicom
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
    if path.suffix.lower() in DICOM_SUFFIXES or is_dicom(path):
        # Only these files need pydicom.
        from facelime_cli.core.dicom import read_dicom

        return read_dicom(path, how)
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
