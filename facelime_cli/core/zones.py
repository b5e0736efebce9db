"""Named regions that are comparable across pictures: of a face, and of the lungs.

Zones of a face are relative to the face that is detected, those of the lungs to the whole picture.

Left and right are the person's, as in medicine.
The left cheek is on the right of the picture, and so is the left lung in an X-ray shown in the usual way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.operations import FACE_MARGIN, detect_face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Zones = NDArray[np.uint8]
    Floats = NDArray[np.float64]

Shares = tuple[float, float, float, float]
"""Top, left, bottom and right, in shares of the box that the zones are relative to."""

FACE: dict[str, Shares] = {
    "forehead": (0.00, 0.15, 0.27, 0.85),
    "nose": (0.42, 0.39, 0.73, 0.61),
    "right cheek": (0.47, 0.08, 0.83, 0.39),
    "left cheek": (0.47, 0.61, 0.83, 0.92),
    "chin": (0.92, 0.27, 1.12, 0.73),
}
"""Relative to the detector's box, drawn on twenty synthetic portraits. Eyes and mouth are in no zone."""
OUTLINE: Shares = (-0.10, 0.04, 1.14, 0.96)
"""The ellipse that no zone of a face goes beyond, in the same shares."""
LUNG_TOPS = {"upper": 0.10, "middle": 0.34, "lower": 0.58}
LUNG_LEFTS = {"right": 0.08, "left": 0.56}
LUNGS: dict[str, Shares] = {
    f"{side} {height} lung": (top, left, top + 0.24, left + 0.36)
    for height, top in LUNG_TOPS.items()
    for side, left in LUNG_LEFTS.items()
}
"""Relative to the picture, drawn on fifteen chest X-rays of children.

The spine and what lies beside it are in no zone.
"""
NAMES: dict[str, tuple[str, ...]] = {"face": tuple(FACE), "lungs": tuple(LUNGS)}
"""In the order in which the zones begin from the top: zone k of a picture is the k-th name."""


@dataclass(frozen=True)
class Found:
    """The zones of a picture.

    Attributes
    ----------
    zones : (H, W) uint8 array
        The number of each pixel's zone, from 1; 0 where there is none.
    sure : bool
        Whether the face that the zones are relative to was found. Lungs are always sure.
    """

    zones: Zones
    sure: bool


def find(image: Pixels, kind: str) -> Found:
    """Return the zones of a picture.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    kind : str
        A key of `NAMES`.

    Returns
    -------
    Found

    Raises
    ------
    KeyError
        If there are no zones of this kind.

    Examples
    --------
    >>> found = find(np.zeros((50, 50, 3), np.uint8), "lungs")
    >>> NAMES["lungs"][found.zones[10, 10] - 1], NAMES["lungs"][found.zones[40, 40] - 1], int(found.zones[0, 0])
    ('right upper lung', 'left lower lung', 0)
    """
    return FINDERS[kind](image)


def face(image: Pixels) -> Found:
    """Return the zones of the largest face in a picture.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Where no face is found, the picture is taken for one that was cropped to a face.

    Returns
    -------
    Found
    """
    height, width = image.shape[:2]
    place: Shares | None = detect_face(image)
    sure = place is not None
    if place is None:
        # A crop to a face has the detector's margin on each side: the box lies inside of it.
        inset = FACE_MARGIN / (1 + 2 * FACE_MARGIN)
        # The box is square; a picture that is not shows more above and below it, or beside it.
        shorter = min(height, width)
        first, last = shorter * inset, shorter * (1 - inset)
        above, beside = (height - shorter) / 2, (width - shorter) / 2
        place = (above + first, beside + first, above + last, beside + last)
    zones = _drawn(image, place, FACE)
    down, across = _shares(image, place)
    top, left, bottom, right = OUTLINE
    outline_height = bottom - top
    outline_width = right - left
    # From -1 to 1 within the ellipse's own box.
    vertical = (2 * down - top - bottom) / outline_height
    horizontal = (2 * across - left - right) / outline_width
    # Corners of the rectangles would lie on hair and background.
    distance = vertical**2 + horizontal**2
    outside = distance > 1
    zones[outside] = 0
    return Found(zones, sure=sure)


def lungs(image: Pixels) -> Found:
    """Return three zones of each lung, for an X-ray that shows the whole chest and little else.

    Parameters
    ----------
    image : (H, W, 3) uint8 array

    Returns
    -------
    Found
    """
    height, width = image.shape[:2]
    zones = _drawn(image, (0, 0, height, width), LUNGS)
    return Found(zones, sure=True)


FINDERS = {"face": face, "lungs": lungs}


def _shares(image: Pixels, place: Shares) -> tuple[Floats, Floats]:
    """Return where the centre of each row and column lies in a box: 0 at its beginning, 1 at its end.

    The shapes are (H, 1) and (1, W).
    """
    top, left, bottom, right = place
    height, width = image.shape[:2]
    rows = np.arange(height)
    columns = np.arange(width)
    # A pixel's centre is half a pixel from its edge.
    y = rows[:, None] + 0.5
    x = columns[None] + 0.5
    down = np.asarray((y - top) / (bottom - top))
    across = np.asarray((x - left) / (right - left))
    return down, across


def _drawn(image: Pixels, place: Shares, zones_of_kind: dict[str, Shares]) -> Zones:
    """Return the number of each pixel's zone, 0 where there is none: (H, W) uint8."""
    down, across = _shares(image, place)
    zones = np.zeros(image.shape[:2], np.uint8)
    for number, place_of_zone in enumerate(zones_of_kind.values(), start=1):
        top, left, bottom, right = place_of_zone
        # Half-open on both axes, so that zones that touch share no pixel.
        below, above = down >= top, down < bottom
        in_rows = below & above
        in_columns = (across >= left) & (across < right)
        inside = in_rows & in_columns
        zones[inside] = number
    return zones


def overlap(segments: NDArray[np.uint16], zones: Zones, n_zones: int) -> Floats:
    """Return which share of each segment's pixels lies in each zone.

    Parameters
    ----------
    segments : (H, W) uint16 array of 0…K-1
    zones : (H, W) uint8 array of 0…Z
        0 is no zone.
    n_zones : int
        Z, as not every zone must be in the picture.

    Returns
    -------
    (K, Z) float64 array
        Rows sum to 1 at most; the rest lies in no zone.

    Examples
    --------
    >>> overlap(np.array([[0, 0, 1, 1]], np.uint16), np.array([[2, 0, 1, 1]], np.uint8), 3).tolist()
    [[0.0, 0.5, 0.0], [1.0, 0.0, 0.0]]
    """
    n_segments = int(segments.max()) + 1
    n_columns = n_zones + 1
    # Each pair of a segment and a zone has a number of its own. In uint16 the products would overflow.
    first_pairs = segments.ravel().astype(np.int64) * n_columns
    pairs = first_pairs + zones.ravel()
    counts = np.bincount(pairs, minlength=n_segments * n_columns)
    table = counts.reshape(n_segments, n_columns)
    sizes = table.sum(axis=1, keepdims=True)
    in_zones = table[:, 1:]
    return np.asarray(in_zones / sizes)


def attribution_by_zone(coefficients: Floats, shares: Floats) -> Floats:
    """Return the coefficients of a picture's segments as coefficients of its zones.

    Each segment's coefficient is divided among the zones by the segment's pixels.

    Parameters
    ----------
    coefficients : (..., K) float64 array
        In probability.
    shares : (K, Z) float64 array
        From `overlap`.

    Returns
    -------
    (..., Z) float64 array
        In probability. With what lies in no zone, it sums to what the segments' sum to.

    Examples
    --------
    >>> attribution_by_zone(np.array([0.2, -0.1]), np.array([[0.5, 0.0], [0.5, 0.5]])).tolist()
    [0.05, -0.05]
    """
    return np.asarray(coefficients @ shares)
