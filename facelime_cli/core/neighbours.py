"""The most similar picture of another class, as a fill: every composed picture then consists of real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.labels import labelled, unlike

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

CELLS = 16
"""Mean colours along each side by which pictures are compared: pose, light and background, no detail."""
FEATURES = 3 * CELLS**2
"""Numbers in the thumbnail of a picture."""
AT_ONCE = 256
"""Pictures whose distances to all others are in memory at a time."""


def thumbnails(images: NDArray[np.uint8]) -> Integers:
    """Return the mean colours of the cells of pictures, rounded.

    Parameters
    ----------
    images : (N, H, W, 3) uint8 array
        Height and width at least 16.

    Returns
    -------
    (N, 768) int64 array
        Values of 0 to 255.

    Examples
    --------
    >>> thumbnails(np.full((1, 16, 16, 3), 7, np.uint8))[0, :3].tolist()
    [7, 7, 7]
    """
    _, height, width, _ = images.shape
    tops, lefts = _begins(height), _begins(width)
    # Sums in whole numbers are exact: the same thumbnail on every machine.
    sums = images.astype(np.int64)
    sums = np.add.reduceat(sums, tops, axis=1)
    sums = np.add.reduceat(sums, lefts, axis=2)
    heights = np.diff(np.append(tops, height))
    widths = np.diff(np.append(lefts, width))
    pixels = heights[:, None, None] * widths[None, :, None]
    # Half of the divisor rounds to the nearest whole number.
    means = np.asarray((sums + pixels // 2) // pixels)
    return means.reshape(len(images), -1)


def _begins(side: int) -> Integers:
    """Return where each cell begins along a side; cells differ by one pixel at most."""
    return np.arange(CELLS) * side // CELLS


def nearest_unlike(
    thumbs: NDArray[np.integer[Any]],
    labels: NDArray[Any],
    groups: Integers,
    rows: Integers,
    pool: Integers,
    count: int,
) -> Integers:
    """Return for each of some pictures the most similar ones of another kind and another group, its donors.

    Similarity is the squared distance of thumbnails. Each donor is of another group than those before it.

    Parameters
    ----------
    thumbs : (N, F) integer array
        Of every picture of a dataset, see `thumbnails`.
    labels : (N,) or (N, L) integer array
        What tells the kinds apart, see `core.labels.unlike`.
    groups : (N,) int64 array
        Equal for pictures of one patient.
    rows : (R,) int64 array
        The pictures that need donors.
    pool : (P,) int64 array
        The pictures that may be one, in ascending order.
    count : int
        How many donors to find.

    Returns
    -------
    (R, count) int64 array
        Rows of the dataset, the most similar first, the lower row first of equals; -1 where there is none.

    References
    ----------
    The nearest unlike neighbour: Dasarathy, Journal of Pattern Recognition 28, 1995.
    As the picture that regions are taken from: Goyal et al., "Counterfactual visual explanations", ICML 2019.

    Examples
    --------
    >>> thumbs, labels = np.array([[0], [1], [9], [4]]), np.array([0, 0, 1, 1], np.int16)
    >>> nearest_unlike(thumbs, labels, np.arange(4), np.array([0, 2]), np.arange(4), 2).tolist()
    [[3, 2], [1, 0]]
    """
    found = np.full((len(rows), count), -1)
    known = pool[labelled(labels)[pool]]
    if not len(known):
        return found
    # float64 holds these whole numbers exactly, and multiplies matrices much faster than int64 does.
    candidates = thumbs[known].astype(np.float64)
    lengths = (candidates**2).sum(axis=1)
    for first in range(0, len(rows), AT_ONCE):
        some = rows[first : first + AT_ONCE]
        # |a - b|² less |a|², which is the same for all candidates of a picture.
        distances = lengths - 2 * (thumbs[some].astype(np.float64) @ candidates.T)
        eligible = unlike(labels, some, known) & (groups[some][:, None] != groups[known])
        for number in range(count):
            nearest = np.where(eligible, distances, np.inf).argmin(axis=1)
            has_any = eligible.any(axis=1)
            found[first : first + AT_ONCE, number] = np.where(has_any, known[nearest], -1)
            eligible &= groups[known] != groups[known[nearest]][:, None]
    return found
