"""The most similar picture of another class: with it, every composed picture is made of real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS = 16
"""Pictures are compared as so many by so many mean colours: pose, light and background, no detail."""
FEATURES = 3 * CELLS**2
AT_ONCE = 256
"""Pictures whose distances to all others are held at a time."""


def thumbnails(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the mean colours of the cells of pictures, rounded.

    Parameters
    ----------
    images : (N, H, W, 3) uint8 array
        Height and width at least 16.

    Returns
    -------
    (N, 768) int64 array

    Examples
    --------
    >>> thumbnails(np.full((1, 16, 16, 3), 7, np.uint8))[0, :3].tolist()
    [7, 7, 7]
    """
    means = images.astype(np.int64)
    for axis in (1, 2):
        borders = np.arange(CELLS) * images.shape[axis] // CELLS
        means = np.add.reduceat(means, borders, axis=axis)
    height, width = (np.diff(np.append(np.arange(CELLS) * side // CELLS, side)) for side in images.shape[1:3])
    pixels = height[:, None, None] * width[None, :, None]
    return np.asarray((means + pixels // 2) // pixels).reshape(len(images), -1)


def nearest_unlike(
    thumbs: NDArray[np.int64],
    classes: NDArray[np.int16],
    groups: NDArray[np.int64],
    rows: NDArray[np.int64],
    pool: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return for each of some pictures the most similar one of another class and another group.

    The nearest unlike neighbour (Dasarathy, Journal of Pattern Recognition 28, 1995), here by the squared distance of
    thumbnails, as the distractor that regions are taken from (Goyal et al., "Counterfactual visual explanations", ICML
    2019). Whole numbers, far below what float64 holds exactly: the same on every machine.

    Parameters
    ----------
    thumbs : (N, F) int64 array
        Of every picture of a dataset, see `thumbnails`.
    classes : (N,) int16 array
        -1 where there is none.
    groups : (N,) int64 array
        Equal for pictures of one patient.
    rows : (R,) int64 array
        The pictures that need one.
    pool : (P,) int64 array
        The pictures that may be one, in ascending order.

    Returns
    -------
    (R,) int64 array
        Rows of the dataset, the first of equals; -1 where there is none.

    Examples
    --------
    >>> thumbs, classes = np.array([[0], [1], [9], [4]]), np.array([0, 0, 1, 1], np.int16)
    >>> nearest_unlike(thumbs, classes, np.arange(4), np.array([0, 2]), np.arange(4)).tolist()
    [3, 1]
    """
    found = np.full(len(rows), -1)
    known = pool[classes[pool] >= 0]
    exact = thumbs.astype(np.float64)
    lengths = (exact[known] ** 2).sum(axis=1)
    for first in range(0, len(rows) if len(known) else 0, AT_ONCE):
        some = rows[first : first + AT_ONCE]
        distances = lengths - 2 * (exact[some] @ exact[known].T)
        unlike = (
            (classes[some] >= 0)[:, None]
            & (classes[some][:, None] != classes[known])
            & (groups[some][:, None] != groups[known])
        )
        nearest = np.where(unlike, distances, np.inf).argmin(axis=1)
        found[first : first + AT_ONCE] = np.where(unlike.any(axis=1), known[nearest], -1)
    return found
