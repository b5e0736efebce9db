"""Values of more than 8 bits are read whole, where Pillow cuts them, and what the file means by white is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.orientation import upright

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from PIL import Image

    Numbers = NDArray[np.int64]

GREYS = {"I;16", "I;16L", "I;16B", "I;16N", "I"}
"""Pillow's modes for whole numbers of more than 8 bits."""
FLOATS = "F"
MOST = 65535
ALPHA_CHANNELS = {2, 4}
"""Numbers of channels of which the last one is opacity."""
PREMULTIPLIED = "RGBa"
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT, PLANES = 258, 262, 339, 284
"""Tags of TIFF 6.0."""
WHITE_IS_ZERO, SIGNED, SEPARATE = 0, 2, 2
"""Values of these tags."""
BYTE = 8
SHORT = 12
"""Bits that a TIFF file of fewer than 16 may have for each value: Pillow reads these as they are."""
SWAPPED = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}
"""Byte orders that Pillow applies once more to what libtiff has brought into the order of this machine."""
SHORT_GREYS = {"L;2": 85, "L;4": 17}
"""By what Pillow multiplies the greys of a PNG file of 2 or 4 bits, but not the one that is transparent."""


class DepthError(ValueError):
    """Values whose meaning is not known. The message stands behind the name of the file."""


@dataclass(frozen=True)
class Deep:
    """A picture with more than 8 bits per value, upright.

    Attributes
    ----------
    values : (H, W) or (H, W, 3) int array
        Grey, or red, green and blue.
    white : int
        The value that the file means by white.
    inverted : bool
        Whether its 0 is white.
    opacity : (H, W) int array or None
        0…65535.
    premultiplied : bool
        Whether the values are multiplied by the opacity already.
    """

    values: Numbers
    white: int = MOST
    inverted: bool = False
    opacity: Numbers | None = None
    premultiplied: bool = False

    @property
    def used_bits(self) -> int:
        """How many bits its largest value needs."""
        return int(self.values.max()).bit_length()


def rawmode(picture: Image.Image) -> str:
    """Return how the values of a picture lie in its file, as Pillow calls it.

    Parameters
    ----------
    picture : Image
        Opened, not decoded yet.

    Returns
    -------
    str
        Empty where that is not known.
    """
    tiles = getattr(picture, "tile", None)
    if not tiles:
        return ""
    args = tiles[0].args
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def corrected(picture: Image.Image) -> None:
    """Tell Pillow in place how the values of a TIFF file lie, and which grey of a PNG file is transparent.

    Parameters
    ----------
    picture : Image
        Opened, not decoded yet.

    Raises
    ------
    DepthError
        When it would be decoded wrongly.
    """
    if picture.format == "PNG" and rawmode(picture) in SHORT_GREYS and "transparency" in picture.info:
        picture.info["transparency"] *= SHORT_GREYS[rawmode(picture)]
    if picture.format != "TIFF":
        return
    tags: Any = picture.tag_v2  # type: ignore[attr-defined]
    bits = tags.get(BITS_PER_SAMPLE, (1,))[0]
    if bits == BYTE and SIGNED in tags.get(SAMPLE_FORMAT, ()):
        raise DepthError("holds signed values of 8 bits, whose meaning is not known; save it with values of 0…255")
    own = rawmode(picture)
    by_libtiff = picture.tile[0].codec_name == "libtiff"  # type: ignore[attr-defined]
    if by_libtiff and own in SWAPPED:
        _set_rawmodes(picture, lambda _: SWAPPED[own])
    if bits > BYTE and tags.get(PLANES) == SEPARATE and picture.mode in {"RGB", "RGBA"}:
        if by_libtiff:
            raise DepthError("has colours of 16 bits in separate planes; save it with its channels together")
        order = "L" if tags.prefix == b"II" else "B"
        _set_rawmodes(picture, lambda name: f"{name};16{order}")


def _set_rawmodes(picture: Any, named: Callable[[str], str]) -> None:
    tiles = []
    for tile in picture.tile:
        args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        changed = (named(args[0]), *args[1:])
        tiles.append(tile._replace(args=changed if isinstance(tile.args, tuple) else changed[0]))
    picture.tile = tiles


def deep(picture: Image.Image, again: Callable[[], Image.Image]) -> Deep | None:
    """Return the values of a picture with more than 8 bits, or None for any other.

    Parameters
    ----------
    picture : Image
        Opened, not decoded yet.
    again : callable
        Opens the same picture once more.

    Returns
    -------
    Deep or None

    Raises
    ------
    DepthError
        For whole numbers outside 0…65535.

    Notes
    -----
    Pillow has no colours of 16 bits: of each value it keeps the first byte. Told the other byte order, it keeps the
    second one.
    """
    if picture.mode in GREYS:
        return _deep_grey(picture)
    own = rawmode(picture)
    if ";16" not in own or picture.mode not in {"RGB", "RGBA"}:
        return None
    # The transparent colour, too, has 16 bits; Pillow would look for it among 8.
    transparent = picture.info.get("transparency")
    if own.startswith("LA"):
        _set_rawmodes(picture, lambda _: "RGBA")
        pairs = np.asarray(upright(picture)).astype(np.int64)
        return Deep(pairs[..., 0] << BYTE | pairs[..., 1], opacity=pairs[..., 2] << BYTE | pairs[..., 3])
    other = again()
    _set_rawmodes(picture, _whole)
    _set_rawmodes(other, lambda name: _other_order(_whole(name)))
    high, low = (np.asarray(upright(each)).astype(np.int64) for each in (picture, other))
    every = high << BYTE | low
    colours = every[..., :3]
    opacity = every[..., 3] if every.shape[-1] in ALPHA_CHANNELS else None
    if opacity is None and isinstance(transparent, tuple):
        opacity = _shown_but(np.any(colours != np.array(transparent), axis=-1))
    return Deep(colours, opacity=opacity, premultiplied=own.startswith(PREMULTIPLIED))


def _whole(name: str) -> str:
    return name.replace(PREMULTIPLIED, "RGBA")


def _other_order(name: str) -> str:
    """Return a raw mode with the other byte order: this and all other machines that facelime runs on have L as N."""
    stem, _, order = name.partition(";16")
    return f"{stem};16{'L' if order == 'B' else 'B'}"


def _deep_grey(picture: Image.Image) -> Deep:
    transparent = picture.info.get("transparency")
    tags = getattr(picture, "tag_v2", {})
    values = np.asarray(upright(picture)).astype(np.int64)
    if values.min() < 0 or values.max() > MOST:
        raise DepthError("holds integers outside 0…65535, whose meaning is not known")
    white = 2**SHORT - 1 if tags.get(BITS_PER_SAMPLE) == (SHORT,) else MOST
    opacity = _shown_but(values != transparent) if isinstance(transparent, int) else None
    return Deep(values, white, inverted_tiff(picture), opacity)


def _shown_but(visible: NDArray[np.bool_]) -> Numbers:
    return visible.astype(np.int64) * MOST


def inverted_tiff(picture: Image.Image) -> bool:
    """Return whether 0 is white in a TIFF file; of 8 bits or fewer, Pillow turns it over itself.

    Parameters
    ----------
    picture : Image
        With whole numbers of more than 8 bits, or with floating-point values.

    Returns
    -------
    bool
    """
    return getattr(picture, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO


def white_of(bits: int | None) -> int:
    """Return the value that is white, where so many bits are used; by default all 16.

    Parameters
    ----------
    bits : int, optional

    Returns
    -------
    int
    """
    return MOST if bits is None else 2**bits - 1


def check_bits(values: NDArray[Any], bits: int | None) -> None:
    """Refuse values above those that a number of bits can have.

    Parameters
    ----------
    values : int array
    bits : int, optional
        By default all that the type has.

    Raises
    ------
    DepthError
    """
    most = int(values.max())
    if most > white_of(bits):
        raise DepthError(f"holds the value {most:,}, above the {white_of(bits):,} of --bits {bits}; give more bits")


def over_white(levels: NDArray[Any], opacity: NDArray[Any], *, premultiplied: bool) -> NDArray[np.uint8]:
    """Return colours laid on white.

    Parameters
    ----------
    levels : (H, W) or (H, W, 3) uint8 array
    opacity : (H, W) int array
        0…65535.
    premultiplied : bool
        Whether the colours are multiplied by the opacity already.

    Returns
    -------
    uint8 array
        Of the shape of `levels`.
    """
    share = opacity / MOST if levels.ndim == opacity.ndim else (opacity / MOST)[..., None]
    own = levels if premultiplied else levels * share
    return np.clip(np.floor(own + 255 * (1 - share) + 0.5), 0, 255).astype(np.uint8)
