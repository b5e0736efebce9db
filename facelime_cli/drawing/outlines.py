"""Outlines of segments as paths of a vector drawing: exact, along the edges of the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def paths(segments: NDArray[np.uint16]) -> list[str]:
    """Return each segment's outline as the `d` of an SVG path in pixels, to be filled by the rule `evenodd`.

    Parameters
    ----------
    segments : (H, W) uint16 array of 0…K-1, gap-free

    Returns
    -------
    list of K str

    Examples
    --------
    >>> paths(np.array([[0, 0], [0, 1]], np.uint16))
    ['M0 0h2v1h-1v1h-1z', 'M1 1h1v1h-1z']
    """
    from scipy.ndimage import find_objects

    found = []
    for label, (rows, columns) in enumerate(find_objects(segments.astype(np.int32) + 1)):
        corners = _corners(segments[rows, columns] == label)
        found.append("".join(_loops(corners + np.array([rows.start, columns.start]))))
    return found


def _corners(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the corners (y, x) of a region's outline, in reading order.

    Where two of its pixels touch by a corner alone, that is there twice.
    """
    padded = np.pad(mask, 1).astype(np.int8)
    above_left, above, left, here = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    touching = (above_left == here) & (above == left) & (here != left)
    times = ((above_left + above + left + here) % 2) + 2 * touching
    return np.repeat(np.argwhere(times), times[times > 0], axis=0)


def _loops(corners: NDArray[np.int64]) -> Iterator[str]:
    """Yield the closed lines through the corners.

    Each goes on along its row to its neighbour in a pair, then along its column.
    """
    count = len(corners)
    beside, below = np.empty(count, np.int64), np.empty(count, np.int64)
    for partner, order in (
        (beside, np.arange(count)),
        (below, np.lexsort((np.arange(count), corners[:, 0], corners[:, 1]))),
    ):
        partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    (y, x), along, down = corners.T.tolist(), beside.tolist(), below.tolist()
    left = [True] * count
    for start in range(count):
        if not left[start]:
            continue
        words, place = [f"M{x[start]} {y[start]}"], start
        while True:
            corner = along[place]
            left[place] = left[corner] = False
            words.append(f"h{x[corner] - x[place]}")
            place = down[corner]
            if place == start:
                break
            words.append(f"v{y[place] - y[corner]}")
        yield "".join(words) + "z"
