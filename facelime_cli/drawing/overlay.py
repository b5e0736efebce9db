"""Arrays that show an explanation on its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core import attribution
from facelime_cli.drawing.palette import AGAINST, BORDER, MIDDLE, TOWARDS, Colour

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Segments = NDArray[np.uint16]
    Floats = NDArray[np.float64]
    Signs = NDArray[np.int8]

TINT = 0.45
"""Share of its colour in a tinted segment."""
DIMMED = 0.25
"""Brightness that is left to a segment that is not shown."""
GREY_SHARE = 0.55
"""Share of the picture's grey in its pale form; the rest is white."""


def colour(value: float, scale: float) -> Colour:
    """Return the colour of a coefficient on the scale from blue over nearly white to vermilion.

    Parameters
    ----------
    value : float
        The coefficient.
    scale : float
        End of the scale, in the coefficient's unit; values beyond have the colour of the end.

    Returns
    -------
    (int, int, int)
        Red, green and blue, 0 to 255.

    Examples
    --------
    >>> colour(5.0, 5.0), colour(0.0, 5.0), colour(-2.5, 5.0)
    ((213, 94, 0), (247, 247, 247), (124, 180, 212))
    """
    share = min(abs(value) / scale, 1.0)
    end = TOWARDS if value > 0 else AGAINST
    # Colours lie on straight lines from the middle to the two ends, as in the colour bar of `figures.scale_colours`.
    mixed = []
    for middle, far in zip(MIDDLE, end, strict=True):
        step = share * (far - middle)
        mixed.append(round(middle + step))
    red, green, blue = mixed
    return red, green, blue


def pale(image: Pixels) -> Pixels:
    """Return the picture in light grey, for colours to stand on.

    Parameters
    ----------
    image : (H, W, 3) uint8 array

    Returns
    -------
    (H, W, 3) uint8 array
    """
    brightness = image.mean(axis=-1, keepdims=True)
    white = 255 * (1 - GREY_SHARE)
    grey = brightness * GREY_SHARE + white
    return np.repeat(grey, 3, axis=-1).astype(np.uint8)


def borders(segments: Segments) -> NDArray[np.bool_]:
    """Return the pixels on the border between two segments.

    Parameters
    ----------
    segments : (H, W) uint16 array

    Returns
    -------
    (H, W) bool array
        scikit-image's `find_boundaries`, inside the segments.
    """
    from skimage.segmentation import find_boundaries

    # Borders inside the segments move no segment's outline into its neighbour, and keep to the picture at its rim.
    found = find_boundaries(segments, mode="inner")
    return np.asarray(found)


def with_borders(image: Pixels, segments: Segments) -> Pixels:
    """Return the picture with the borders of its segments.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array

    Returns
    -------
    (H, W, 3) uint8 array
    """
    edge = borders(segments)[..., None]
    # Without a dtype, NumPy would widen the picture to int64.
    ink = np.array(BORDER, np.uint8)
    return np.where(edge, ink, image)


def towards_against(image: Pixels, segments: Segments, coefficients: Floats, top: int) -> Pixels:
    """Return the picture with its strongest segments tinted: vermilion speaks for the class, blue against it.

    The rest of the picture is pale.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    top : int
        How many of the strongest segments are tinted.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    ground = pale(image).astype(np.float64)
    signs = _signs(coefficients, top)
    return _tinted(image, ground, segments, signs, (TOWARDS, AGAINST))


def marked(
    image: Pixels,
    segments: Segments,
    coefficients: Floats,
    top: int,
    colours: tuple[Colour, Colour],
) -> Pixels:
    """Return the picture in its own colours, with its strongest segments tinted and bordered.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    top : int
        How many of the strongest segments are tinted.
    colours : pair of (int, int, int)
        For the class, and against it.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    # Floats, as in `towards_against`: tints are rounded once, at the end.
    ground = image.astype(np.float64)
    signs = _signs(coefficients, top)
    return _tinted(image, ground, segments, signs, colours)


def transparent(segments: Segments, coefficients: Floats, top: int, confirmed: list[int]) -> Pixels:
    """Return the strongest segments as a transparent drawing: vermilion speaks for the class, blue against it.

    Parameters
    ----------
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    top : int
        How many of the strongest segments are tinted.
    confirmed : list of int
        Segments whose outline is yellow, since the model confirmed them.

    Returns
    -------
    (H, W, 4) uint8 array
        Red, green, blue and opacity; nothing where no segment is tinted.
    """
    signs = _signs(coefficients, top)
    colours = np.zeros((len(coefficients), 4), np.uint8)
    colours[signs > 0] = (*TOWARDS, round(255 * TINT))
    colours[signs < 0] = (*AGAINST, round(255 * TINT))
    drawn = colours[segments]
    for numbers, inks in ((np.flatnonzero(signs), colours), (confirmed, None)):
        inside = np.isin(segments, numbers)
        # Labels begin at 1 here, so that segment 0 has a border with what has none.
        edge = inside & borders(np.where(inside, segments + 1, 0))
        drawn[edge, :3] = BORDER if inks is None else inks[segments[edge], :3]
        drawn[edge, 3] = 255
    return drawn


def kept(image: Pixels, segments: Segments, shown: NDArray[np.int64]) -> Pixels:
    """Return the picture with all but some segments dimmed.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    shown : (n,) int64 array
        The segments that stay bright.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    stays = np.isin(segments, shown)[..., None]
    dimmed = image * DIMMED
    seen = np.where(stays, image, dimmed)
    return seen.astype(np.uint8)


def _signs(coefficients: Floats, top: int) -> Signs:
    """Return the signs of the strongest coefficients, and 0 for the others."""
    # A coefficient of exactly 0 speaks neither for nor against, even among the strongest.
    sign = np.zeros(len(coefficients), dtype=np.int8)
    shown = attribution.strongest(coefficients, top)
    sign[shown] = np.sign(coefficients[shown])
    return sign


def _tinted(
    image: Pixels,
    drawn: Floats,
    segments: Segments,
    signs: Signs,
    colours: tuple[Colour, Colour],
) -> Pixels:
    """Return a ground on which the segments of each sign are tinted in their colour, with borders of that colour."""
    sign_of_pixel = signs[segments]
    for sign, paint in zip((1, -1), colours, strict=True):
        inside = sign_of_pixel == sign
        tint = np.array(paint) * TINT
        mixed = image * (1 - TINT) + tint
        drawn = np.where(inside[..., None], mixed, drawn)
        # Labels begin at 1 here, so that segment 0 has a border with what is not tinted.
        labels = np.where(inside, segments + 1, 0)
        edge = inside & borders(labels)
        drawn = np.where(edge[..., None], paint, drawn)
    return drawn.astype(np.uint8)


def heatmap(segments: Segments, coefficients: Floats, times: int = 100) -> Floats:
    """Return every pixel's coefficient.

    Parameters
    ----------
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
        In probability, or in the unit of a value.
    times : int
        What they are shown times: 100 for probability points.

    Returns
    -------
    (H, W) float64 array
        As they are shown.
    """
    return np.asarray(times * coefficients[segments])
