"""From a picture file to display space: RGB uint8, upright, what a person sees."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"})
MULTI_PICTURE_PHOTO = "MPO"
"""A phone's JPEG whose further frames are previews of the first."""
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, OverflowError, Image.DecompressionBombError)
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
    try:
        with Image.open(path) as picture:
            if (frames := getattr(picture, "n_frames", 1)) > 1 and picture.format != MULTI_PICTURE_PHOTO:
                raise UnreadableError(f"holds {frames} frames; save the one that is meant as a picture of its own")
            upright = ImageOps.exif_transpose(picture)
            return np.array(_to_rgb(upright), dtype=np.uint8)
    except UNREADABLE as why:
        raise UnreadableError(_reason(why)) from why


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
    return Image.fromarray(((wide + UINT16_TO_UINT8 // 2) // UINT16_TO_UINT8).astype(np.uint8))


def _reason(why: Exception) -> str:
    if isinstance(why, UnreadableError):
        return str(why)
    if "cannot identify image file" in str(why):
        return "is not a picture in a known format"
    if isinstance(why, OSError) and why.strerror:
        return why.strerror.lower()
    return str(why).rstrip(".") or type(why).__name__


def resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return a picture stretched to `size` × `size` with an anti-aliased bilinear filter.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    size : int
        Side in pixels.

    Returns
    -------
    (size, size, 3) uint8 array
    """
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, reducing_gap=None))


def resize_mask(mask: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return a binary mask stretched to `size` × `size` without new values: (size, size) uint8 of 0 and 1."""
    return np.asarray(Image.fromarray((mask > 0).astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST))


def picture_files(folder: Path) -> Iterator[Path]:
    """Yield the picture files in and below a folder, sorted, hidden ones left out, links followed but never in circles."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root) / name for name in sorted(names) if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES)
