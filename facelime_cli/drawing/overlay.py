"""Arrays that show an explanation on its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core import attribution

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[int, int, int]

TOWARDS = (213, 94, 0)
AGAINST = (0, 114, 178)
"""Vermilion and blue of Okabe and Ito's palette: apart for colour-blind readers too."""
NEUTRAL = (247, 247, 247)
"""The middle of the colour scale; colours lie on straight lines from it to the two ends."""
BORDER = (255, 221, 0)
TINT = 0.45
DIMMED = 0.25
GREY_SHARE = 0.55


def colour(value: float, scale: float) -> Colour:
    """Return the colour of a coefficient as red, green and blue.

    The scale leads from -scale (blue) over 0 (nearly white) to +scale (vermilion).

    Examples
    --------
    >>> colour(5.0, 5.0), colour(0.0, 5.0), colour(-2.5, 5.0)
    ((213, 94, 0), (247, 247, 247), (124, 180, 212))
    """
    share = min(abs(value) / scale, 1.0)
    end = TOWARDS if value > 0 else AGAINST
    red, green, blue = (round(middle + share * (far - middle)) for middle, far in zip(NEUTRAL, end, strict=True))
    return red, green, blue


def pale(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture in light grey, for colours to stand on: (H, W, 3) uint8."""
    grey = image.mean(axis=-1, keepdims=True) * GREY_SHARE + 255 * (1 - GREY_SHARE)
    return np.repeat(grey, 3, axis=-1).astype(np.uint8)


def borders(segments: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return the pixels on the border between two segments: (H, W) bool."""
    from skimage.segmentation import find_boundaries

    return np.asarray(find_boundaries(segments, mode="inner"))


def with_borders(image: NDArray[np.uint8], segments: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return the picture with the borders of its segments: (H, W, 3) uint8."""
    return np.where(borders(segments)[..., None], np.array(BORDER, np.uint8), image)


def towards_against(
    image: NDArray[np.uint8], segments: NDArray[np.uint16], coefficients: NDArray[np.float64], top: int
) -> NDArray[np.uint8]:
    """Return the picture with its `top` strongest segments tinted.

    Vermilion speaks for the class, blue against it; the rest is pale.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    top : int

    Returns
    -------
    (H, W, 3) uint8 array
    """
    return _tinted(image, pale(image).astype(np.float64), segments, _signs(coefficients, top), (TOWARDS, AGAINST))


def marked(
    image: NDArray[np.uint8],
    segments: NDArray[np.uint16],
    coefficients: NDArray[np.float64],
    top: int,
    colours: tuple[Colour, Colour],
) -> NDArray[np.uint8]:
    """Return the picture with its `top` strongest segments tinted and bordered: (H, W, 3) uint8.

    One colour speaks for the class, another against it. The rest keeps its own colours.
    """
    return _tinted(image, image.astype(np.float64), segments, _signs(coefficients, top), colours)


def kept(image: NDArray[np.uint8], segments: NDArray[np.uint16], shown: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the picture with all but some segments dimmed: (H, W, 3) uint8."""
    stays = np.isin(segments, shown)[..., None]
    return np.where(stays, image, image * DIMMED).astype(np.uint8)


def _signs(coefficients: NDArray[np.float64], top: int) -> NDArray[np.int8]:
    sign = np.zeros(len(coefficients), dtype=np.int8)
    shown = attribution.strongest(coefficients, top)
    sign[shown] = np.sign(coefficients[shown])
    return sign


def _tinted(
    image: NDArray[np.uint8],
    drawn: NDArray[np.float64],
    segments: NDArray[np.uint16],
    signs: NDArray[np.int8],
    colours: tuple[Colour, Colour],
) -> NDArray[np.uint8]:
    place = signs[segments]
    for value, colour in zip((1, -1), colours, strict=True):
        drawn = np.where((place == value)[..., None], image * (1 - TINT) + np.array(colour) * TINT, drawn)
        edge = (place == value) & borders(np.where(place == value, segments + 1, 0))
        drawn = np.where(edge[..., None], colour, drawn)
    return drawn.astype(np.uint8)


def heatmap(segments: NDArray[np.uint16], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return every pixel's coefficient in probability points: (H, W) float64."""
    return np.asarray(100 * coefficients[segments])
