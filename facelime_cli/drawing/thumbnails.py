"""An explanation small enough for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from facelime_cli.core import attribution
from facelime_cli.drawing import overlay

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelime_cli.drawing.palette import Colour

    Pixels = NDArray[np.uint8]
    Segments = NDArray[np.uint16]
    Floats = NDArray[np.float64]

SHADES = np.array(list(" .:oO@"))
"""From dark to light, for a terminal without colours."""
SIGNS = {1: "+", -1: "-"}
TALLEST = 2
"""A drawing of full width is so many times as high as wide, at most."""


def across(image: Pixels, most: int) -> int:
    """Return how many letters wide a picture is drawn: fewer for a tall one, so that a screen holds it.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    most : int
        Letters in a line.

    Returns
    -------
    int

    Examples
    --------
    >>> across(np.zeros((75, 100, 3), np.uint8), 48), across(np.zeros((400, 40, 3), np.uint8), 48)
    (48, 9)
    """
    height, width = image.shape[:2]
    return int(min(most, max(1, most * TALLEST * width // height)))


def coloured(image: Pixels, segments: Segments, coefficients: Floats, top: int, columns: int) -> list[list[Colour]]:
    """Return the picture with its strongest segments tinted, as rows of colours.

    Two rows are a line of a terminal.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    top : int
        How many of the strongest segments are tinted.
    columns : int
        Width in letters.

    Returns
    -------
    list of lists of (int, int, int)
        An even number of rows of `columns` colours: red, green and blue, 0 to 255.
    """
    tinted = overlay.towards_against(image, segments, coefficients, top)
    size = (columns, _even(image, columns))
    small = Image.fromarray(tinted).resize(size, Image.Resampling.BOX)
    rows = []
    for row in np.asarray(small).tolist():
        colours = [(red, green, blue) for red, green, blue in row]
        rows.append(colours)
    return rows


def lettered(image: Pixels, segments: Segments, coefficients: Floats, top: int, columns: int) -> list[str]:
    """Return the same in letters, one line for two rows.

    `+` speaks for the class, `-` against it; other letters are the fuller the lighter the picture is.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    top : int
        How many of the strongest segments have a sign.
    columns : int
        Width in letters.

    Returns
    -------
    list of str
        Lines of `columns` letters.

    Examples
    --------
    >>> lettered(np.zeros((4, 4, 3), np.uint8), np.array([[0, 0, 1, 1]] * 4, np.uint16), np.array([0.5, -0.5]), 1, 4)
    ['++  ', '++  ']
    """
    lines = _even(image, columns) // 2
    grey = Image.fromarray(image).convert("L")
    small = np.asarray(grey.resize((columns, lines), Image.Resampling.BOX))
    # Wider integers: six times a uint8 would overflow.
    shade = small.astype(int) * len(SHADES) // 256
    letters = SHADES[shade]
    # Segments cannot be averaged: each letter stands for the pixel in the middle of its cell.
    rows = _middles(lines, segments.shape[0])
    places = _middles(columns, segments.shape[1])
    seen = segments[np.ix_(rows, places)]
    shown = attribution.strongest(coefficients, top)
    signs = np.sign(coefficients[shown])
    for sign, letter in SIGNS.items():
        speaking = np.isin(seen, shown[signs == sign])
        letters = np.where(speaking, letter, letters)
    return ["".join(line) for line in letters]


def _middles(count: int, side: int) -> NDArray[np.int64]:
    """Return the middle pixel of each of `count` cells along a side."""
    begins = np.arange(count) * side // count
    half = side // count // 2
    return begins + half


def _even(image: Pixels, columns: int) -> int:
    """Return the rows of a picture of so many columns, as an even number."""
    height, width = image.shape[:2]
    # One cell of a terminal is about two rows high, so that half a cell is about square.
    lines = round(columns * height / width / 2)
    return int(max(2, lines * 2))
