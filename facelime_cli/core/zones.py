"""Named regions that are comparable across pictures.

Of a face, relative to the face that is detected, and of the lungs, relative to the whole picture.

Left and right are the person's, as in medicine: the left cheek is on the right of the picture, and so is the left lung
in an X-ray shown in the usual way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.operations import FACE_MARGIN, detect_face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelime_cli.core.operations import Box

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
    f"{side} {height} lung": (top, left, top + 0.24, left + 0.36)
    for height, top in (("upper", 0.10), ("middle", 0.34), ("lower", 0.58))
    for side, left in (("right", 0.08), ("left", 0.56))
}
"""Relative to the picture, drawn on fifteen chest X-rays of children.

The spine and what lies beside it are in no zone.
"""
NAMES: dict[str, tuple[str, ...]] = {"face": tuple(FACE), "lungs": tuple(LUNGS)}
"""In the order in which the zones begin from the top: zone k of a picture is the k-th name."""


@dataclass(frozen=True)
class Found:
    """The zones of a picture, (H, W) uint8, 0 where there is none.

    And whether the face that they are relative to was found (the lungs always are).
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
        A key of `NAMES`. Where no face is found for `face`, the whole picture is taken for one that was cropped to a
        face.

    Examples
    --------
    >>> found = find(np.zeros((50, 50, 3), np.uint8), "lungs")
    >>> NAMES["lungs"][found.zones[10, 10] - 1], NAMES["lungs"][found.zones[40, 40] - 1], int(found.zones[0, 0])
    ('right upper lung', 'left lower lung', 0)
    """
    return FINDERS[kind](image)


def face(image: NDArray[np.uint8]) -> Found:
    """Return the zones of the largest face in a picture."""
    height, width = image.shape[:2]
    detected = detect_face(image)
    inset = FACE_MARGIN / (1 + 2 * FACE_MARGIN)
    place = detected or (height * inset, width * inset, height * (1 - inset), width * (1 - inset))
    zones = _drawn(image, place, FACE)
    down, across = _shares(image, place)
    top, left, bottom, right = OUTLINE
    outside = ((2 * down - top - bottom) / (bottom - top)) ** 2 + (
        (2 * across - left - right) / (right - left)
    ) ** 2 > 1
    zones[outside] = 0
    return Found(zones, sure=detected is not None)


def lungs(image: NDArray[np.uint8]) -> Found:
    """Return three zones of each lung, for an X-ray that shows the whole chest and little else."""
    return Found(_drawn(image, (0, 0, image.shape[0], image.shape[1]), LUNGS), sure=True)


FINDERS = {"face": face, "lungs": lungs}


def _shares(
    image: NDArray[np.uint8], place: Box | tuple[float, float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where each pixel's centre lies in a box, down (H, 1) and across (1, W).

    0 at its beginning, 1 at its end.
    """
    top, left, bottom, right = place
    y, x = np.arange(image.shape[0])[:, None] + 0.5, np.arange(image.shape[1])[None] + 0.5
    return np.asarray((y - top) / (bottom - top)), np.asarray((x - left) / (right - left))


def _drawn(
    image: NDArray[np.uint8], place: Box | tuple[float, float, float, float], parts: dict[str, Part]
) -> NDArray[np.uint8]:
    down, across = _shares(image, place)
    zones = np.zeros(image.shape[:2], np.uint8)
    for number, (top, left, bottom, right) in enumerate(parts.values(), start=1):
        zones[(down >= top) & (down < bottom) & (across >= left) & (across < right)] = number
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
    pairs = segments.ravel().astype(np.int64) * (n_zones + 1) + zones.ravel()
    counts = np.bincount(pairs, minlength=n_segments * (n_zones + 1)).reshape(n_segments, n_zones + 1)
    return np.asarray(counts[:, 1:] / counts.sum(axis=1, keepdims=True))


def attribution_by_zone(coefficients: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coefficients of a picture's segments as coefficients of its zones.

    Each segment's is divided among the zones by its pixels.

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
