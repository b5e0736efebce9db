"""Pictures in a terminal that shows them: the three ways to write one."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from facelime_cli.terminals import ITERM, KITTY, SIXEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

CHUNK = 4096
"""Letters of a picture that Kitty takes at once."""
CELL_PIXELS = 10
"""Width that a cell of a terminal is taken to have, where only pixels can be told."""
SIXEL_COLOURS = 128
BAND = 6
"""Rows of pixels in a line of sixels."""
FIRST_SIXEL = 63
"""The letter that stands for six pixels that are not set."""
LONG_RUN = 3
"""Equal sixels from which on their number is shorter than they are."""


def encoded(pixels: Pixels, columns: int, protocol: str) -> str:
    """Return what shows a picture in a terminal.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 array
    columns : int
        Cells of the terminal that it is wide.
    protocol : str
        A key of `ENCODERS`.

    Returns
    -------
    str
        One line; the cursor stands behind the picture, or below it.
    """
    return ENCODERS[protocol](pixels, columns)


def kitty(pixels: Pixels, columns: int) -> str:
    """Return a picture as Kitty reads it, see https://sw.kovidgoyal.net/kitty/graphics-protocol/.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 array
    columns : int
    """
    text = b64encode(_png(pixels)).decode()
    chunks = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    written = []
    for place, chunk in enumerate(chunks):
        # q: the terminal answers nothing, which would be typed into the shell.
        how = f"a=T,f=100,c={columns},q=2," if place == 0 else ""
        written.append(f"\x1b_G{how}m={int(place < len(chunks) - 1)};{chunk}\x1b\\")
    return "".join(written)


def iterm(pixels: Pixels, columns: int) -> str:
    """Return a picture as iTerm reads it, see https://iterm2.com/documentation-images.html.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 array
    columns : int
    """
    content = _png(pixels)
    how = f"inline=1;size={len(content)};width={columns};preserveAspectRatio=1"
    return f"\x1b]1337;File={how}:{b64encode(content).decode()}\x07"


def sixel(pixels: Pixels, columns: int) -> str:
    """Return a picture in sixels, see DEC's VT330/VT340 Programmer Reference Manual, chapter 14.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 array
    columns : int
    """
    height, width = pixels.shape[:2]
    wide = columns * CELL_PIXELS
    size = (wide, max(1, round(wide * height / width)))
    scaled = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST if wide > width else Image.Resampling.BOX)
    quantised = scaled.quantize(SIXEL_COLOURS, dither=Image.Dither.NONE)
    numbers = np.asarray(quantised)
    palette = np.asarray(quantised.getpalette(), np.float64).reshape(-1, 3) * 100 / 255
    colours = "".join(
        f"#{number};2;{round(red)};{round(green)};{round(blue)}" for number, (red, green, blue) in enumerate(palette)
    )
    bands = "-".join(_band(numbers[top : top + BAND]) for top in range(0, size[1], BAND))
    return f'\x1bPq"1;1;{size[0]};{size[1]}{colours}{bands}\x1b\\'


def _band(numbers: NDArray[np.uint8]) -> str:
    """Return up to six rows as sixels, one colour over the other."""
    weights = 1 << np.arange(len(numbers))
    of_colours = []
    for number in np.unique(numbers):
        letters = FIRST_SIXEL + weights @ (numbers == number)
        of_colours.append(f"#{number}" + "".join(_runs(letters)))
    return "$".join(of_colours)


def _runs(letters: NDArray[np.int64]) -> Iterator[str]:
    borders = np.flatnonzero(np.diff(letters)) + 1
    for run in np.split(letters, borders):
        letter = chr(int(run[0]))
        yield f"!{len(run)}{letter}" if len(run) > LONG_RUN else letter * len(run)


def _png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


ENCODERS: dict[str, Callable[[Pixels, int], str]] = {KITTY: kitty, ITERM: iterm, SIXEL: sixel}
"""By what `terminals.protocol` returns."""
