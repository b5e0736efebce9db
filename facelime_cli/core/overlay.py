"""Arrays that show an explanation on its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOWARDS = (213, 94, 0)
AGAINST = (0, 114, 178)
"""Vermilion and blue of Okabe and Ito's palette: apart for colour-blind readers too."""
BORDER = (255, 221, 0)
TINT = 0.45
GREY_SHARE = 0.55


def borders(segments: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return the pixels on the border between two segments: (H, W) bool."""
    from skimage.segmentation import find_boundaries

    return np.asarray(find_boundaries(segments, mode="inner"))


def with_borders(image: NDArray[np.uint8], segments: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return the picture with the borders of its segments: (H, W, 3) uint8."""
    return np.where(borders(segments)[..., None], np.array(BORDER, np.uint8), image)


def strongest(coefficients: NDArray[np.float64], top: int) -> NDArray[np.int64]:
    """Return the `top` segments with the largest coefficients in size, strongest first; those of exactly 0 are left out."""
    order = np.argsort(-np.abs(coefficients), kind="stable")[:top]
    return np.asarray(order[coefficients[order] != 0])


def towards_against(image: NDArray[np.uint8], segments: NDArray[np.uint16], coefficients: NDArray[np.float64], top: int) -> NDArray[np.uint8]:
    """Return the picture with its `top` strongest segments tinted: vermilion speaks for the class, blue against it; the rest is pale.

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
    shown = strongest(coefficients, top)
    sign = np.zeros(len(coefficients), dtype=np.int8)
    sign[shown] = np.sign(coefficients[shown])
    place = sign[segments]
    grey = image.mean(axis=-1, keepdims=True) * GREY_SHARE + 255 * (1 - GREY_SHARE)
    drawn = np.repeat(grey, 3, axis=-1)
    for value, colour in ((1, TOWARDS), (-1, AGAINST)):
        drawn = np.where((place == value)[..., None], image * (1 - TINT) + np.array(colour) * TINT, drawn)
        edge = (place == value) & borders(np.where(place == value, segments + 1, 0))
        drawn = np.where(edge[..., None], colour, drawn)
    return drawn.astype(np.uint8)


def heatmap(segments: NDArray[np.uint16], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return every pixel's coefficient in probability points: (H, W) float64."""
    return np.asarray(100 * coefficients[segments])
