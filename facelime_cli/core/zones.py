"""Named regions that are comparable across pictures: of a face, or of the lungs.

The zones of a face are relative to the face that is detected, those of the lungs to the whole picture.
Left and right are the person's, as in medicine. The left cheek is on the right of the picture.
So is the left lung, in an X-ray shown in the usual way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.operations import FACE_MARGIN, detect_face

if TYPE_CHECKING:
    from numpy.typing import NDArray

Place = tuple[float, float, float, float]
"""Top, left, bottom and right of a box, in pixels."""
Part = tuple[float, float, float, float]
"""Top, left, bottom and right, in shares of the box that the zones are relative to."""

FACE: dict[str, Part] = {
    "forehead": (0.00, 0.15, 0.27, 0.85),
    "nose": (0.42, 0.39, 0.73, 0.61),
    "right cheek": (0.47, 0.08, 0.83, 0.39),
    "left cheek": (0.47, 0.61, 0.83, 0.92),
    "chin": (0.92, 0.27, 1.12, 0.73),
}
"""Relative to the detector's box, drawn on twenty synthetic portraits. Eyes and mouth are in no zone."""
OUTLINE: Part = (-0.10, 0.04, 1.14, 0.96)
"""The ellipse that no zone of a face goes beyond, in the same shares."""
LUNGS: dict[str, Part] = {
    "right upper lung": (0.10, 0.08, 0.10 + 0.24, 0.08 + 0.36),
    "left upper lung": (0.10, 0.56, 0.10 + 0.24, 0.56 + 0.36),
    "right middle lung": (0.34, 0.08, 0.34 + 0.24, 0.08 + 0.36),
    "left middle lung": (0.34, 0.56, 0.34 + 0.24, 0.56 + 0.36),
    "right lower lung": (0.58, 0.08, 0.58 + 0.24, 0.08 + 0.36),
    "left lower lung": (0.58, 0.56, 0.58 + 0.24, 0.56 + 0.36),
}
"""Relative to the picture, drawn on fifteen chest X-rays of children.
The spine and what lies beside it are in no zone."""
NAMES: dict[str, tuple[str, ...]] = {"face": tuple(FACE), "lungs": tuple(LUNGS)}
"""In the order in which the zones begin from the top: zone k of a picture is the k-th name."""


@dataclass(frozen=True)
class Found:
    """The zones of a picture.

    Attributes
    ----------
    zones : (H, W) uint8 array
        0 where there is none.
    sure : bool
        Whether the face that they are relative to was found. The lungs always are.
    """

    zones: NDArray[np.uint8]
    sure: bool


def find(image: NDArray[np.uint8], kind: str) -> Found:
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
        Where no face is found for `face`, the whole picture is taken for one that was cropped to a face.

    Examples
    --------
    >>> found = find(np.zeros((50, 50, 3), np.uint8), "lungs")
    >>> NAMES["lungs"][found.zones[10, 10] - 1], NAMES["lungs"][found.zones[40, 40] - 1], int(found.zones[0, 0])
    ('right upper lung', 'left lower lung', 0)
    """
    return FINDERS[kind](image)


def face(image: NDArray[np.uint8]) -> Found:
    """Return the zones of the largest face in a picture.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.

    Returns
    -------
    Found
    """
    place: Place | None = detect_face(image)
    found = place is not None
    if place is None:
        # A picture that was cropped to a face has the margin of `operations.prepare` around the detector's box.
        height, width = image.shape[:2]
        inset = FACE_MARGIN / (1 + 2 * FACE_MARGIN)
        rest = 1 - inset
        place = (height * inset, width * inset, height * rest, width * rest)
    zones = _drawn(image, place, FACE)
    down, across = _shares(image, place)
    top, left, bottom, right = OUTLINE
    # Distances from the middle of the ellipse, in half axes. The corners of forehead and chin lie beyond 1.
    vertical = (2 * down - top - bottom) / (bottom - top)
    horizontal = (2 * across - left - right) / (right - left)
    outside = vertical**2 + horizontal**2 > 1
    zones[outside] = 0
    return Found(zones, sure=found)


def lungs(image: NDArray[np.uint8]) -> Found:
    """Return three zones of each lung, for an X-ray that shows the whole chest and little else.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.

    Returns
    -------
    Found
    """
    height, width = image.shape[:2]
    zones = _drawn(image, (0, 0, height, width), LUNGS)
    return Found(zones, sure=True)


FINDERS = {"face": face, "lungs": lungs}


def _shares(image: NDArray[np.uint8], place: Place) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where each pixel's centre lies in a box, down (H, 1) and across (1, W): 0 at its start, 1 at its end."""
    height, width = image.shape[:2]
    top, left, bottom, right = place
    y = np.arange(height)[:, None] + 0.5
    x = np.arange(width)[None] + 0.5
    down = (y - top) / (bottom - top)
    across = (x - left) / (right - left)
    return np.asarray(down), np.asarray(across)


def _drawn(image: NDArray[np.uint8], place: Place, parts: dict[str, Part]) -> NDArray[np.uint8]:
    down, across = _shares(image, place)
    zones = np.zeros(image.shape[:2], np.uint8)
    for number, (top, left, bottom, right) in enumerate(parts.values(), start=1):
        rows = (down >= top) & (down < bottom)
        columns = (across >= left) & (across < right)
        zones[rows & columns] = number
    return zones


def overlap(segments: NDArray[np.uint16], zones: NDArray[np.uint8], n_zones: int) -> NDArray[np.float64]:
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
    # One number for each pair of segment and zone. In 64 bits, as the segments' 16 would overflow.
    pairs = segments.ravel().astype(np.int64) * n_columns + zones.ravel()
    counts = np.bincount(pairs, minlength=n_segments * n_columns)
    table = counts.reshape(n_segments, n_columns)
    sizes = table.sum(axis=1, keepdims=True)
    # The first column is what lies in no zone.
    return np.asarray(table[:, 1:] / sizes)


def attribution_by_zone(coefficients: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coefficients of a picture's segments as coefficients of its zones.

    Each segment's coefficient is divided among the zones by its pixels.

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
