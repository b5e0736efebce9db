"""An explanation small enough for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from facelime_cli.core import attribution
from facelime_cli.drawing import overlay

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHADES = np.array(list(" .:oO@"))
"""From dark to light, for a terminal without colours."""
SIGNS = {1: "+", -1: "-"}


def coloured(
    image: NDArray[np.uint8], segments: NDArray[np.uint16], coefficients: NDArray[np.float64], top: int, columns: int
) -> list[list[tuple[int, int, int]]]:
    """Return the picture with its strongest segments tinted, as rows of red, green and blue.

    Two rows are a line of a terminal.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    top, columns : int
    """
    drawn = Image.fromarray(overlay.towards_against(image, segments, coefficients, top)).resize(
        (columns, _even(image, columns)), Image.Resampling.BOX
    )
    return [[(int(red), int(green), int(blue)) for red, green, blue in row] for row in np.asarray(drawn)]


def lettered(
    image: NDArray[np.uint8], segments: NDArray[np.uint16], coefficients: NDArray[np.float64], top: int, columns: int
) -> list[str]:
    """Return the same in letters, one line for two rows.

    + speaks for the class, - against it, other letters are the lighter the fuller.

    Examples
    --------
    >>> lettered(np.zeros((4, 4, 3), np.uint8), np.array([[0, 0, 1, 1]] * 4, np.uint16), np.array([0.5, -0.5]), 1, 4)
    ['++  ', '++  ']
    """
    lines = _even(image, columns) // 2
    grey = np.asarray(Image.fromarray(image).convert("L").resize((columns, lines), Image.Resampling.BOX))
    letters = SHADES[grey.astype(int) * len(SHADES) // 256]
    shown = attribution.strongest(coefficients, top)
    rows, places = (
        np.arange(length) * side // length + side // length // 2
        for length, side in ((lines, segments.shape[0]), (columns, segments.shape[1]))
    )
    small = segments[np.ix_(rows, places)]
    for sign, letter in SIGNS.items():
        letters = np.where(np.isin(small, shown[np.sign(coefficients[shown]) == sign]), letter, letters)
    return ["".join(line) for line in letters]


def _even(image: NDArray[np.uint8], columns: int) -> int:
    height, width = image.shape[:2]
    return int(max(2, round(columns * height / width / 2) * 2))
