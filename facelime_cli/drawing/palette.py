"""The colours of every chart, figure and overlay.

The eight named colours are the palette of Okabe and Ito, "Color Universal Design" (2008).
Colour-blind readers can tell them apart.
"""

from __future__ import annotations

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"

WHITE = "#FFFFFF"
INK = "#111111"
"""Text and lines on a light ground."""
GRID = "#E3E6E9"
GREY = "#999999"
DARK_GREY = "#9AA0A6"
LIGHT_GREY = "#DDE0E3"

# The order decides which class gets which colour. Yellow and black stand last: one is weak on white, one reads as text.
BARS = (BLUE, ORANGE, GREEN, VERMILION, SKY_BLUE, PURPLE, YELLOW, BLACK)
"""Segments of stacked bars, in their order."""
WITH_PALE_FORM = (BLUE, ORANGE, GREEN, VERMILION, PURPLE)
"""Colours whose pale forms differ from all other colours."""
PUT_TOGETHER = (DARK_GREY, LIGHT_GREY)
"""Values that are put together, and values that are not known."""
# Yellow lines can hardly be seen on white, so that grey takes its place here.
LINES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK, GREY)
"""Lines of one class each, in their order."""


def rgb(colour: str) -> Colour:
    """Return a colour as three numbers.

    Parameters
    ----------
    colour : str
        `#` and six hexadecimal digits.

    Returns
    -------
    (int, int, int)
        Red, green and blue, 0 to 255.

    Raises
    ------
    ValueError
        If the text is not such a colour.

    Examples
    --------
    >>> rgb(VERMILION)
    (213, 94, 0)
    """
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


TOWARDS = rgb(VERMILION)
"""What speaks for a class."""
AGAINST = rgb(BLUE)
"""What speaks against a class."""
MIDDLE: Colour = (247, 247, 247)
"""The middle of the scale from `AGAINST` to `TOWARDS`: a coefficient of 0."""
BORDER: Colour = (255, 221, 0)
"""Borders of segments."""
# Colour-blind readers cannot tell these two apart: they are drawn only on request.
LIME_FOR: Colour = (0, 160, 0)
"""What speaks for a class in a figure of the `lime` package."""
LIME_AGAINST: Colour = (210, 0, 0)
"""What speaks against a class in a figure of the `lime` package."""
