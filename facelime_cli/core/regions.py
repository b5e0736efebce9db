"""Label maps: numbering, splitting what does not touch, merging what is too small, and figures of a segmentation."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[Any]
    Pixels = NDArray[np.uint8]
    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

NEIGHBOURHOODS = {4: 1, 8: 2}
"""scikit-image's `connectivity` for four and for eight neighbours of a pixel."""
RECALL_PIXELS = 2
"""A border counts as found when another lies at most this far away, along rows and columns."""


def numbered(labels: Labels) -> Integers:
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
    # Sorting an order gives each label's place in it.
    order = np.argsort(first)
    rank = np.argsort(order)
    renumbered = rank[inverse].reshape(labels.shape)
    return np.asarray(renumbered, dtype=np.int64)


def connected(labels: Labels, neighbours: int) -> Integers:
    """Return a label map in which every connected piece is a segment of its own.

    Parameters
    ----------
    labels : (H, W) array of whole numbers
    neighbours : {4, 8}
        Which pixels are connected: those at a common side, or those at a common corner too.

    Returns
    -------
    (H, W) int64 array

    Raises
    ------
    KeyError
        If the number of neighbours is another.

    Examples
    --------
    >>> rings = np.array([[0, 1, 0], [1, 0, 1]])
    >>> len(np.unique(connected(rings, 4))), len(np.unique(connected(rings, 8)))
    (6, 2)
    """
    from skimage.measure import label

    connectivity = NEIGHBOURHOODS[neighbours]
    # No label is the background: scikit-image would leave label 0 out.
    pieces = label(numbered(labels), background=-1, connectivity=connectivity)
    return np.asarray(pieces, dtype=np.int64)


def merged(image: Pixels, labels: Integers, min_size: int) -> Integers:
    """Return a label map in which no segment is smaller than wanted.

    The smallest segment goes to the neighbour with the nearest mean colour, until none is too small.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Mean colours are in its values, distances Euclidean.
    labels : (H, W) int64 array of 0…K-1
    min_size : int
        Pixels. A picture smaller than this becomes one segment.

    Returns
    -------
    (H, W) int64 array
        The labels of the segments that are left, with gaps.

    Examples
    --------
    >>> row = np.array([[[9, 9, 9], [9, 9, 9], [8, 8, 8], [90, 90, 90], [91, 91, 91]]], np.uint8)
    >>> merged(row, np.array([[0, 0, 1, 2, 2]]), 2).tolist()
    [[0, 0, 0, 2, 2]]
    """
    sizes = np.bincount(labels.ravel())
    sums = _sums(image, labels)
    neighbours = _neighbours(labels, len(sizes))
    home = np.arange(len(sizes))
    waiting = [(int(size), k) for k, size in enumerate(sizes) if size < min_size]
    heapq.heapify(waiting)
    while waiting:
        size, k = heapq.heappop(waiting)
        # A segment that has grown waits a second time, with its new size: the first entry is out of date.
        outdated = home[k] != k or size != sizes[k]
        if outdated or not neighbours[k]:
            continue
        to = _nearest(k, neighbours[k], sums, sizes)
        home[k] = to
        sizes[to] += sizes[k]
        sums[to] += sums[k]
        _join(neighbours, k, to)
        if sizes[to] < min_size:
            heapq.heappush(waiting, (int(sizes[to]), to))
    # A segment may have gone to one that went on itself.
    end = home[home]
    while (end != home).any():
        home = end
        end = home[home]
    return np.asarray(home[labels])


def _sums(image: Pixels, labels: Integers) -> Floats:
    """Return the sum of each segment's values in each channel: (K, channels) float64."""
    flat_labels = labels.ravel()
    n_channels = image.shape[-1]
    sums = []
    for channel in range(n_channels):
        values = image[..., channel].ravel()
        sums.append(np.bincount(flat_labels, weights=values))
    return np.stack(sums, axis=-1)


def _nearest(k: int, neighbours: set[int], sums: Floats, sizes: Integers) -> int:
    """Return the neighbour of a segment with the nearest mean colour."""
    # Sorted, since a set has no order: among equally near ones the first label wins, on every machine.
    near = np.array(sorted(neighbours))
    colours = sums[near] / sizes[near, None]
    own = sums[k] / sizes[k]
    distances = ((colours - own) ** 2).sum(axis=1)
    return int(near[distances.argmin()])


def _join(neighbours: list[set[int]], k: int, to: int) -> None:
    """Give the neighbours of a segment to the one that it goes to."""
    for other in neighbours[k]:
        neighbours[other].discard(k)
    neighbours[to] |= neighbours[k] - {to}
    for other in neighbours[to]:
        neighbours[other].add(to)


def _neighbours(labels: Integers, count: int) -> list[set[int]]:
    """Return which segments touch each one, at a side of a pixel."""
    left, right = labels[:, :-1], labels[:, 1:]
    upper, lower = labels[:-1], labels[1:]
    beside = np.stack([left.ravel(), right.ravel()], axis=1)
    below = np.stack([upper.ravel(), lower.ravel()], axis=1)
    pairs = np.concatenate([beside, below])
    differs = pairs[:, 0] != pairs[:, 1]
    found: list[set[int]] = [set() for _ in range(count)]
    for a, b in np.unique(pairs[differs], axis=0).tolist():
        found[a].add(b)
        found[b].add(a)
    return found


def size_quartiles(labels: Labels) -> Floats:
    """Return the lower quartile, median and upper quartile of the segments' sizes.

    Parameters
    ----------
    labels : (H, W) array of 0…K-1

    Returns
    -------
    (3,) float64 array
        In pixels.
    """
    sizes = np.bincount(labels.ravel())
    return np.asarray(np.percentile(sizes, (25, 50, 75)))


def borders(labels: Labels) -> Bools:
    """Return which pixels have another segment to their right or below them.

    Parameters
    ----------
    labels : (H, W) array of whole numbers

    Returns
    -------
    (H, W) bool array

    Examples
    --------
    >>> borders(np.array([[0, 0, 1]])).tolist()
    [[False, True, False]]
    """
    found = np.zeros(labels.shape, dtype=bool)
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    found[:-1] |= labels[:-1] != labels[1:]
    return found


def boundary_recall(labels: Labels, reference: Labels) -> float:
    """Return the share of a reference's borders that a segmentation finds.

    Parameters
    ----------
    labels, reference : (H, W) array of whole numbers

    Returns
    -------
    float
        0 to 1; a border is found within `RECALL_PIXELS`. NaN where the reference has no border.

    References
    ----------
    Martin, Fowlkes and Malik, "Learning to detect natural image boundaries using local brightness, color, and texture
    cues", TPAMI 2004; with the square neighbourhood of Stutz, Hermans and Leibe, "Superpixels: an evaluation of the
    state-of-the-art", CVIU 2018.

    Examples
    --------
    >>> halves = np.repeat([[0, 1]], [10, 10], axis=1)
    >>> boundary_recall(np.roll(halves, 2, axis=1)[:, 2:], halves[:, 2:])
    1.0
    >>> boundary_recall(np.repeat([[0, 1]], [5, 15], axis=1), halves)
    0.0
    """
    from scipy.ndimage import maximum_filter

    wanted = borders(reference)
    if not wanted.any():
        return float("nan")
    # The largest value in a square around a pixel says whether there is a border anywhere in it.
    side = 2 * RECALL_PIXELS + 1
    near_border = maximum_filter(borders(labels), size=side, mode="constant")
    return float(near_border[wanted].mean())


def flat(image: Pixels, labels: Labels) -> Bools:
    """Return which segments have one colour, so that their mean as fill changes nothing.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    labels : (H, W) array of 0…K-1

    Returns
    -------
    (K,) bool array

    Examples
    --------
    >>> row = np.array([[[5, 5, 5], [5, 5, 5], [5, 5, 5], [5, 5, 6]]], np.uint8)
    >>> flat(row, np.array([[0, 0, 1, 1]])).tolist()
    [True, False]
    """
    _, first = np.unique(labels, return_index=True)
    pixels = image.reshape(-1, image.shape[-1])
    first_colours = pixels[first]
    # Compared with its first pixel's colour, not with the mean, which is rounded.
    differs = (image != first_colours[labels]).any(axis=-1)
    differing = np.bincount(labels.ravel(), weights=differs.ravel())
    return np.asarray(differing == 0)
