"""Where a region lies in its picture: in words, and the pixel deepest inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Segments = NDArray[np.uint16]

PLACES = (
    ("upper left", "top", "upper right"),
    ("left", "middle", "right"),
    ("lower left", "bottom", "lower right"),
)
"""Thirds of the picture from its top, and in each the thirds from its left, as the picture is seen."""
LEAST_IN_ZONE = 0.5
"""Share of a region's pixels in one zone from which on the region has the zone's name."""


def places(segments: Segments) -> list[str]:
    """Return where each segment lies, as the picture is seen.

    Parameters
    ----------
    segments : (H, W) uint16 array of 0…K-1, gap-free

    Returns
    -------
    list of K str
        By the third of the picture in which the mean of its pixels lies, down and across.

    Examples
    --------
    >>> places(np.array([[0, 1, 2], [3, 4, 5], [6, 6, 6]], np.uint16))[1:]
    ['top', 'upper right', 'left', 'middle', 'right', 'bottom']
    """
    height, width = segments.shape
    flat = segments.ravel()
    sizes = np.bincount(flat)
    found = []
    for axis, length in ((0, height), (1, width)):
        # A pixel's centre is half a pixel from its edge.
        centres = (np.indices((height, width))[axis].ravel() + 0.5) / length
        means = np.bincount(flat, weights=centres) / sizes
        found.append(np.minimum((3 * means).astype(int), 2).tolist())
    return [PLACES[down][across] for down, across in zip(*found, strict=True)]


def names(segments: Segments, shares: NDArray[np.float64] | None, zones: Sequence[str]) -> list[str]:
    """Return what each segment is called: by its zone where it lies in one, else by its place.

    Parameters
    ----------
    segments : (H, W) uint16 array of 0…K-1, gap-free
    shares : (K, Z) float64 array or None
        The share of each segment in each zone, from `zones.overlap`; None without zones.
    zones : sequence of Z str

    Returns
    -------
    list of K str
        A zone's name needs at least half of the segment's pixels.

    Examples
    --------
    >>> names(np.array([[0, 1]], np.uint16), np.array([[0.7], [0.2]]), ["nose"])
    ['nose', 'right of the picture']
    """
    found = places(segments)
    if shares is None:
        return found
    best = shares.argmax(axis=1).tolist()
    # Left and right of a zone are the person's: beside such names a place says whose side it is.
    return [
        zones[zone] if shares[k, zone] >= LEAST_IN_ZONE else f"{found[k]} of the picture" for k, zone in enumerate(best)
    ]


def deepest(segments: Segments) -> list[tuple[int, int]]:
    """Return for each segment the pixel that is farthest from everything else.

    Parameters
    ----------
    segments : (H, W) uint16 array of 0…K-1, gap-free

    Returns
    -------
    list of K (int, int)
        Row and column; of equals the first in reading order. A mean of pixels may lie outside of a bent segment.

    Examples
    --------
    >>> deepest(np.array([[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1]], np.uint16))
    [(1, 1), (0, 3)]
    """
    from scipy.ndimage import distance_transform_edt, find_objects

    found = []
    # SciPy's objects begin at 1, and uint16 may not have room for one more.
    for label, (rows, columns) in enumerate(find_objects(segments.astype(np.int32) + 1)):
        # What lies beyond the picture's rim is outside too.
        inside = np.pad(segments[rows, columns] == label, 1)
        depth = distance_transform_edt(inside)[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        found.append((int(rows.start + row), int(columns.start + column)))
    return found
