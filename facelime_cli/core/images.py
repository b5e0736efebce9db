"""From a picture file to display space: RGB uint8, upright, what a person sees."""

from __future__ import annotations

import math
import os
import struct
import warnings
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from facelime_cli.core import colours, depths
from facelime_cli.core.formats import DICOM_SUFFIXES, HEAD, HEIC, JPEG, NOT_READ, has_dicom_mark, is_marked, kind_of
from facelime_cli.core.opening import NotRegularError, opened
from facelime_cli.core.orientation import upright
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
PLUGINS = {
    "JPEG 2000": "JPEG2000",
    **{kind: kind.upper() for kind in (JPEG, "PNG", "TIFF", "GIF", "BMP", "WebP", "PPM", "AVIF")},
}
"""Pillow's names of what opens each kind of file. It knows more, some of them by running another program."""
OTHER_PLUGINS = ("ICO", "PCX", "TGA")
"""What is tried for a file whose first bytes say nothing."""
SPELLINGS = {"JPEG2000": "Jpeg2K", "WEBP": "WebP"}
"""How Pillow spells the modules of these; all others have a capital alone."""
MULTI_PICTURE_PHOTO = "MPO"
"""A phone's JPEG whose further frames are previews of the first."""
ONE_IS_MEANT = {MULTI_PICTURE_PHOTO, "HEIF"}
"""Formats that say themselves which of their frames is the picture."""
KINDS = {"DIB": "BMP", "HEIF": HEIC, "JPEG2000": "JPEG 2000", MULTI_PICTURE_PHOTO: JPEG, "WEBP": "WebP"}
"""What formats are called, where Pillow has another word."""
LOSSY = {JPEG, MULTI_PICTURE_PHOTO}
"""Formats whose blacks are not quite black: of a mask in these, what is nearer to white counts."""
UNREADABLE = (Exception,)
"""What decoders of Pillow, NumPy and pydicom raise on damaged files.

Every new kind of damage has raised something else, so that no list was whole: one file must not end the whole run.
"""
SAYING = (OSError, ValueError, SyntaxError, EOFError, NotImplementedError, RuntimeError)
"""Errors by which decoders speak to people."""
ARRAY = "array"
"""The kind of a picture in a file of arrays."""
NOT_OPENED, TRUNCATED, DAMAGED, TOO_LARGE_SHORT, FRAMES = (
    "not to be opened",
    "truncated",
    "damaged",
    "too large",
    "of several frames",
)
NO_DECODER, UNKNOWN = "without a decoder", "in no known format"
PAPER = (255, 255, 255, 255)
"""What transparent pixels stand on: white, as viewers and web pages show them."""
ONE_PICTURE = "save the one that is meant as a picture of its own"
NAME_ONE = f"name the one that is meant with --frame N, or {ONE_PICTURE.replace('the one that is meant', 'it')}"
"""What to do about several frames."""
JPEG_BITS = 8
MARKER, FRAME_HEADER = 0xFF, 5
"""Of a JPEG file: the byte that begins each segment, and the bytes of a frame's header that are looked at."""
JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_LS_FRAME = 0xF7


class UnreadableError(FacelimeError):
    """A picture file that cannot be decoded.

    Attributes
    ----------
    short : str
        Why, in words that count many such files: "truncated".
    """

    def __init__(self, message: str, short: str = "unreadable") -> None:
        super().__init__(message)
        self.short = short


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
        return _read_dicom(path, how)
    try:
        with ExitStack() as stack:
            stream = stack.enter_context(opened(path))
            # The file is opened once for all that is looked for in it: there may be many small ones.
            if is_marked(stream.read(HEAD)):
                return _read_dicom(path, how)
            picture = stack.enter_context(_pictured(stream, how.frame, NAME_ONE))
            said = colours.said(picture, stream)
            kind = KINDS.get(picture.format or "", picture.format or "")
            deep = depths.deep(picture, lambda: stack.enter_context(picture_in(path, how.frame)))
            if deep is not None:
                return _of_deep(deep, kind, said, how)
            return _of_bytes(picture, kind, said)
    except UNREADABLE as why:
        raise unreadable(why) from why


def _read_dicom(path: Path, how: Reading) -> Decoded:
    # Only these files need pydicom.
    from facelime_cli.core.dicom import read_dicom

    return read_dicom(path, how)


def _of_deep(deep: depths.Deep, kind: str, said: colours.Colours | None, how: Reading) -> Decoded:
    """Return a picture of more than 8 bits."""
    white, notes = deep.white, [f"uses:{deep.used_bits}"]
    if how.bits is not None:
        depths.check_bits(deep.values, how.bits)
        white, notes = depths.white_of(how.bits), [f"bits:{how.bits}"]
    elif white < depths.MOST:
        notes = []
    values = white - deep.values if deep.inverted else deep.values
    name = None
    if said is not None and values.ndim == GREY_AXES:
        levels, name = colours.grey_levels(values, white, said)
    else:
        levels = _reduced(values, white)
    if said is not None and levels.ndim == COLOUR_AXES:
        shown, name = colours.in_srgb(Image.fromarray(levels), said)
        levels = np.asarray(shown)
    if deep.opacity is not None:
        # A file of 12 bits means by 4095 what is opaque, too.
        most = white if deep.opacity.max() <= white else depths.MOST
        levels = depths.over_white(levels, deep.opacity * (depths.MOST / most), premultiplied=deep.premultiplied)
    return _decoded(_repeated(levels) if levels.ndim == GREY_AXES else np.array(levels), kind, notes, name)


def _of_bytes(picture: Image.Image, kind: str, said: colours.Colours | None) -> Decoded:
    """Return a picture of 8 bits or fewer per value, or of floating-point values."""
    inverted = picture.mode == depths.FLOATS and depths.inverted_tiff(picture)
    # Before all else: a network that gets faces on their side answers, and nobody sees why it answers wrong.
    turned = upright(picture)
    if turned.mode == depths.FLOATS:
        shown = _from_floats(np.asarray(turned), inverted=inverted)
        return Decoded(np.array(shown.convert("RGB"), dtype=np.uint8), kind)
    if picture.format == "BMP" and turned.mode == "RGBA" and turned.getchannel("A").getextrema()[1] == 0:
        # Many programs leave the fourth byte of a pixel empty, and mean no transparency.
        turned = turned.convert("RGB")
    plain, name = turned, None
    if said is not None and turned.mode != "LAB":
        plain, name = colours.in_srgb(_in_simple_mode(turned), said)
    # Of a screen's colours, a printer's say nothing without its profile.
    guessed = (
        ("has colours for printing and no profile that says which, so that they are approximate",)
        if turned.mode == "CMYK" and plain.mode == "CMYK"
        else ()
    )
    return _decoded(np.array(_to_rgb(plain), dtype=np.uint8), kind, [], name, guessed)


def _decoded(image: Bytes, kind: str, notes: list[str], profile: str | None, more: tuple[str, ...] = ()) -> Decoded:
    if profile is not None:
        notes = [*notes, f"profile:{profile}"]
    broken = ("has a colour profile that is damaged or is for other pixels, so that it is taken as sRGB",)
    return Decoded(image, kind, tuple(notes), (broken if profile == colours.UNUSABLE else ()) + more)


def _in_simple_mode(picture: Image.Image) -> Image.Image:
    """Return a picture in a mode that profiles are for."""
    if picture.mode in colours.SPACE_OF_MODE and "transparency" not in picture.info:
        return picture
    if picture.has_transparency_data:
        # Grey stays grey: its profile is for one channel.
        return picture.convert("LA" if picture.mode in {"1", "L", "LA", "La"} else "RGBA")
    return picture.convert("L" if picture.mode == "1" else "RGB")


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
        if path.suffix.lower() in DICOM_SUFFIXES or has_dicom_mark(path):
            raise UnreadableError("is DICOM, whose values are no mask; save it as a PNG that is black outside the mask")
        with ExitStack() as stack:
            picture = stack.enter_context(picture_in(path))
            deep = depths.deep(picture, lambda: stack.enter_context(picture_in(path)))
            return _marked_deep(deep) if deep is not None else _marked(picture)
    except UNREADABLE as why:
        raise unreadable(why) from why


def _marked_deep(deep: depths.Deep) -> Bytes:
    values = deep.white - deep.values if deep.inverted else deep.values
    marked = values > 0 if values.ndim == GREY_AXES else (values > 0).any(axis=-1)
    return np.asarray(marked if deep.opacity is None else marked & (deep.opacity > 0), dtype=np.uint8)


def _marked(picture: Image.Image) -> Bytes:
    lossy, inverted = picture.format in LOSSY, depths.inverted_tiff(picture)
    turned = upright(picture)
    if turned.mode == depths.FLOATS:
        values = np.asarray(turned)
        return np.asarray(values < 1 if inverted else values > 0, dtype=np.uint8)
    layered = np.asarray(turned.convert("RGBA"))
    strongest, opacity = layered[..., :3].max(axis=-1), layered[..., 3]
    # Any colour counts: data sets mark a region with 1, 255 or a colour of a palette. Around an edge, JPEG leaves
    # values that are neither.
    least = int(strongest.max()) // 2 if lossy else 0
    return np.asarray((strongest > least) & (opacity > 0), dtype=np.uint8)


@contextmanager
def picture_in(path: Path, frame: int | None = None, several: str = ONE_PICTURE) -> Iterator[Image.Image]:
    """Open a picture file with Pillow.

    Parameters
    ----------
    path : Path
    frame : int, optional
        The frame that is meant, counted from 1.
    several : str
        What to do about a file with several frames of which none is named.

    Yields
    ------
    Image
        Not decoded yet.

    Raises
    ------
    UnreadableError
        When it is of no known format, needs a decoder that is not there, or holds several frames and none is named.
    OSError
        When it is no regular file. Decoders raise the rest of `UNREADABLE`.
    """
    with opened(path) as stream, _pictured(stream, frame, several) as picture:
        yield picture


@contextmanager
def _pictured(stream: BinaryIO, frame: int | None, several: str) -> Iterator[Image.Image]:
    """Open a picture in a stream, as `picture_in` does."""
    # What Pillow warns of (large pictures, odd metadata) is no message for people.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream.seek(0)
        with _opened_picture(stream) as picture:
            _seek(picture, frame, several)
            depths.corrected(picture)
            with silent() if picture.format == "TIFF" else nullcontext():
                yield picture


def _opened_picture(stream: BinaryIO) -> Image.Image:
    head = stream.read(HEAD)
    stream.seek(0)
    kind = kind_of(head)
    if kind == HEIC:
        return _opened_heic(stream)
    plugins = (PLUGINS[kind],) if kind in PLUGINS else OTHER_PLUGINS
    for name in plugins:
        # Else Pillow loads all that it has, which takes a tenth of a second in each process.
        import_module(f"PIL.{SPELLINGS.get(name, name.title())}ImagePlugin")
    try:
        return Image.open(stream, formats=plugins)
    except UnidentifiedImageError:
        stream.seek(0)
        raise _unknown(head, stream) from None


def _opened_heic(stream: BinaryIO) -> Image.Image:
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError:
        raise UnreadableError(
            "is HEIC; install its decoder with: pip install 'facelime[heic]'", f"{HEIC} {NO_DECODER}"
        ) from None
    picture: Image.Image = HeifImageFile(stream)  # type: ignore[no-untyped-call]
    if math.prod(picture.size) > MOST_PIXELS:
        raise UnreadableError(TOO_LARGE, TOO_LARGE_SHORT)
    return picture


def _unknown(head: bytes, stream: BinaryIO) -> UnreadableError:
    """Return why Pillow knows nothing of a file."""
    kind = kind_of(head)
    if not head:
        return UnreadableError("is empty, so it is not a picture", "empty")
    if kind is None:
        return UnreadableError("is not a picture in a known format", UNKNOWN)
    if kind in NOT_READ:
        return UnreadableError(f"is {kind}, not a picture in a format that is read; save it as PNG or TIFF", kind)
    if kind == JPEG:
        kind = _kind_of_jpeg(stream.read(colours.SEARCHED))
    return UnreadableError(
        f"is a {kind} file that is damaged or of a kind that is not read; save it again as PNG", DAMAGED
    )


def _kind_of_jpeg(content: bytes) -> str:
    """Return the kind of a JPEG file, by its frame header: with its bits where these are not 8."""
    place = 2
    while place + FRAME_HEADER <= len(content) and content[place] == MARKER:
        kind, length, bits = struct.unpack(">xBHB", content[place : place + FRAME_HEADER])
        if kind == JPEG_LS_FRAME:
            return "JPEG-LS"
        if kind in JPEG_FRAMES:
            return JPEG if bits == JPEG_BITS else f"{bits}-bit {JPEG}"
        place += 2 + length
    return JPEG


def _seek(picture: Image.Image, frame: int | None, several: str) -> None:
    """Go to the frame that is meant; refuse several of which none is named."""
    frames = getattr(picture, "n_frames", 1)
    if frame is not None:
        if frame > frames:
            raise UnreadableError(
                f"holds {frames} frame{'s' * (frames > 1)}, so that there is no frame {frame}; name another", FRAMES
            )
        picture.seek(frame - 1)
    elif frames > 1 and picture.format not in ONE_IS_MEANT:
        raise UnreadableError(f"holds {frames} frames; {several}", FRAMES)


@contextmanager
def silent() -> Iterator[None]:
    """Keep what decoders write to the terminal themselves away from it: a sentence says what is wrong with the file.

    Yields
    ------
    None
    """
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
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        paper = Image.new("RGBA", layered.size, PAPER)
        return Image.alpha_composite(paper, layered).convert("RGB")
    return picture.convert("RGB")


def _from_floats(values: NDArray[Any], *, inverted: bool) -> Image.Image:
    # Other ranges are refused, not stretched: stretching each file by its own range makes bright pictures of dark ones.
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise UnreadableError("holds floating-point values outside 0…1, whose meaning is not known")
    levels = np.round((1 - values if inverted else values) * 255)
    return Image.fromarray(levels.astype(np.uint8))


def _reduced(values: NDArray[Any], white: int = depths.MOST) -> Bytes:
    """Return whole numbers 0…`white` as 8 bits, rounded."""
    wide = values.astype(np.int64)
    return ((wide * 255 + white // 2) // white).astype(np.uint8)


def unreadable(why: Exception) -> UnreadableError:
    """Return what a decoder raised as the error of its file.

    Parameters
    ----------
    why : exception

    Returns
    -------
    UnreadableError
        The same, where it is one.
    """
    return why if isinstance(why, UnreadableError) else UnreadableError(reason(why), _short(why))


def _short(why: Exception) -> str:
    if isinstance(why, MemoryError | Image.DecompressionBombError):
        return TOO_LARGE_SHORT
    if isinstance(why, OSError) and why.strerror:
        return NOT_OPENED
    if isinstance(why, depths.DepthError | colours.RangeError):
        return "of unknown meaning"
    words = str(why).lower()
    return TRUNCATED if any(each in words for each in ("truncated", "unexpected end", "too short")) else DAMAGED


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
    if isinstance(why, OSError) and why.strerror:
        return why.strerror.lower()
    text = str(why).split("\n")[0].strip().rstrip(".")
    # A programmer's words alone, such as "'exif'", say nothing.
    return text if isinstance(why, SAYING) and text else f"cannot be decoded ({type(why).__name__}: {text})"


def read_array(values: NDArray[Any], how: Reading = AS_IT_SAYS) -> Decoded:
    """Return an array from a file of arrays as display space, and how it was read.

    Parameters
    ----------
    values : array
        As for `display`.
    how : Reading

    Returns
    -------
    Decoded

    Raises
    ------
    UnreadableError
        As `display` does, and for values above those that its bits can have.
    """
    notes = []
    if values.dtype == np.uint16 and values.size:
        notes = [f"uses:{int(values.max()).bit_length()}" if how.bits is None else f"bits:{how.bits}"]
    try:
        return Decoded(display(values, how.bits), ARRAY, tuple(notes))
    except depths.DepthError as why:
        raise unreadable(why) from why


def display(values: NDArray[Any], bits: int | None = None) -> Bytes:
    """Return an array from a file of arrays as display space.

    Parameters
    ----------
    values : (H, W) or (H, W, 1) or (H, W, 3) uint8 or uint16 array
        Grey, or red, green and blue.
    bits : int, optional
        How many of the bits of uint16 are used. By default all.

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
        depths.check_bits(flat, bits)
        flat = _reduced(flat, depths.white_of(bits))
    of_three = flat.ndim != COLOUR_AXES or flat.shape[-1] == COLOUR_AXES
    if flat.dtype != np.uint8 or flat.ndim not in SHOWABLE_AXES or not of_three:
        raise UnreadableError(
            f"is an array {values.shape} of {values.dtype}, not (H, W) or (H, W, 3) of uint8 or uint16"
        )
    return _repeated(flat) if flat.ndim == GREY_AXES else flat


def _repeated(grey: Bytes) -> Bytes:
    """Return a grey picture (H, W) as red, green and blue of the same: (H, W, 3)."""
    return np.repeat(grey[..., None], 3, axis=-1)
