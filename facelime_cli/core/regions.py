"""Label maps: numbering, taking apart what does not touch, merging what is too small, and figures about them."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[Any]
    Pixels = NDArray[np.uint8]

NEIGHBOURHOODS = {4: 1, 8: 2}
"""scikit-image's word for four and for eight neighbours of a pixel."""
RECALL_PIXELS = 2
"""A border counts as found when another lies at most this far away, along rows and columns."""


def numbered(labels: Labels) -> NDArray[np.int64]:
    """Return a label map with the labels 0…K-1, without gaps, in the order of their first pixel.

    Parameters
    ----------
    labels : (H, W) array of any whole numbers

    Returns
    -------
    (H, W) int64 array

    Examples
    --------
    >>> numbered(np.array([[7, 7, -1], [7, 3, -1]])).tolist()
    [[0, 0, 1], [0, 2, 1]]
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return np.asarray(rank[inverse].reshape(labels.shape), dtype=np.int64)


def connected(labels: Labels, neighbours: int) -> NDArray[np.int64]:
    """Return a label map in which every connected piece is a segment of its own.

    Parameters
    ----------
    labels : (H, W) array of whole numbers
    neighbours : {4, 8}
        With which pixels one hangs together: those beside it, or those at its corners too.

    Examples
    --------
    >>> rings = np.array([[0, 1, 0], [1, 0, 1]])
    >>> len(np.unique(connected(rings, 4))), len(np.unique(connected(rings, 8)))
    (6, 2)
    """
    from skimage.measure import label

    return np.asarray(label(numbered(labels), background=-1, connectivity=NEIGHBOURHOODS[neighbours]), dtype=np.int64)


def merged(image: Pixels, labels: NDArray[np.int64], min_size: int) -> NDArray[np.int64]:
    """Return a label map in which no segment is smaller than `min_size`.

    The smallest goes to the neighbour with the nearest mean colour, until none is left.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Mean colours are in its values, distances Euclidean.
    labels : (H, W) int64 array of 0…K-1
    min_size : int
        Pixels. A picture smaller than this becomes one segment.

    Examples
    --------
    >>> row = np.array([[[9, 9, 9], [9, 9, 9], [8, 8, 8], [90, 90, 90], [91, 91, 91]]], np.uint8)
    >>> merged(row, np.array([[0, 0, 1, 2, 2]]), 2).tolist()
    [[0, 0, 0, 2, 2]]
    """
    sizes = np.bincount(labels.ravel())
    sums = np.stack(
        [np.bincount(labels.ravel(), weights=image[..., channel].ravel()) for channel in range(image.shape[-1])],
        axis=-1,
    )
    neighbours, home = _neighbours(labels, len(sizes)), np.arange(len(sizes))
    waiting = [(int(size), k) for k, size in enumerate(sizes) if size < min_size]
    heapq.heapify(waiting)
    while waiting:
        size, k = heapq.heappop(waiting)
        if home[k] != k or size != sizes[k] or not neighbours[k]:
            continue
        near = np.array(sorted(neighbours[k]))
        to = int(near[((sums[near] / sizes[near, None] - sums[k] / sizes[k]) ** 2).sum(axis=1).argmin()])
        home[k], sizes[to], sums[to] = to, sizes[to] + sizes[k], sums[to] + sums[k]
        for other in neighbours[k]:
            neighbours[other].discard(k)
        neighbours[to] |= neighbours[k] - {to}
        for other in neighbours[to]:
            neighbours[other].add(to)
        if sizes[to] < min_size:
            heapq.heappush(waiting, (int(sizes[to]), to))
    while (home[home] != home).any():
        home = home[home]
    return np.asarray(home[labels])


def _neighbours(labels: NDArray[np.int64], count: int) -> list[set[int]]:
    """Return which segments touch each one, at a side of a pixel."""
    pairs = np.concatenate(
        [
            np.stack([a.ravel(), b.ravel()], axis=1)
            for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:]))
        ]
    )
    found: list[set[int]] = [set() for _ in range(count)]
    for a, b in np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0).tolist():
        found[a].add(b)
        found[b].add(a)
    return found


def size_quartiles(labels: Labels) -> NDArray[np.float64]:
    """Return the lower quartile, median and upper quartile of the segments' sizes, in pixels: (3,) float64."""
    return np.asarray(np.percentile(np.bincount(labels.ravel()), (25, 50, 75)))


def borders(labels: Labels) -> NDArray[np.bool_]:
    """Return which pixels have another segment to their right or below them: (H, W) bool."""
    found = np.zeros(labels.shape, dtype=bool)
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    found[:-1] |= labels[:-1] != labels[1:]
    return found


def boundary_recall(labels: Labels, reference: Labels) -> float:
    """Return the share of a reference's borders that a segmentation finds.

    A border counts within `RECALL_PIXELS` along rows and columns. NaN where the reference has no border.

    Boundary recall: Martin, Fowlkes and Malik, "Learning to detect natural image boundaries using local brightness,
    color, and texture cues", TPAMI 2004, with the square neighbourhood of Stutz, Hermans and Leibe, "Superpixels: an
    evaluation of the state-of-the-art", CVIU 2018.

    Examples
    --------
    >>> halves = np.repeat([[0, 1]], [10, 10], axis=1)
    >>> shifted = np.roll(halves, 2, axis=1)[:, 2:]
    >>> boundary_recall(shifted, halves[:, 2:]), boundary_recall(np.repeat([[0, 1]], [5, 15], axis=1), halves)
    (1.0, 0.0)
    """
    from scipy.ndimage import maximum_filter

    wanted = borders(reference)
    if not wanted.any():
        return float("nan")
    return float(maximum_filter(borders(labels), size=2 * RECALL_PIXELS + 1, mode="constant")[wanted].mean())


def flat(image: Pixels, labels: Labels) -> NDArray[np.bool_]:
    """Return which segments have one colour, so that their mean as fill changes nothing: (K,) bool.

    Examples
    --------
    >>> row = np.array([[[5, 5, 5], [5, 5, 5], [5, 5, 5], [5, 5, 6]]], np.uint8)
    >>> flat(row, np.array([[0, 0, 1, 1]])).tolist()
    [True, False]
    """
    _, first = np.unique(labels, return_index=True)
    differs = (image != image.reshape(-1, image.shape[-1])[first][labels]).any(axis=-1)
    return np.asarray(np.bincount(labels.ravel(), weights=differs.ravel()) == 0)
