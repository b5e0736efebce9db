"""Outlines of segments as paths of a vector drawing: exact, along the edges of the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Corners = NDArray[np.int64]


def paths(segments: NDArray[np.uint16]) -> list[str]:
    """Return the outline of each segment, to be filled by the rule `evenodd`.

    Parameters
    ----------
    segments : (H, W) uint16 array of 0…K-1, gap-free

    Returns
    -------
    list of K str
        The `d` of an SVG path each, in pixels.

    Examples
    --------
    >>> paths(np.array([[0, 0], [0, 1]], np.uint16))
    ['M0 0h2v1h-1v1h-1z', 'M1 1h1v1h-1z']
    """
    from scipy.ndimage import find_objects

    found = []
    # SciPy's objects begin at 1, and uint16 may not have room for one more.
    boxes = find_objects(segments.astype(np.int32) + 1)
    for label, (rows, columns) in enumerate(boxes):
        inside = segments[rows, columns] == label
        origin = np.array([rows.start, columns.start])
        corners = _corners(inside) + origin
        found.append("".join(map(_path, _loops(corners))))
    return found


def polygons(mask: NDArray[np.bool_]) -> list[Corners]:
    """Return polygons without holes that cover a region, and nothing twice.

    Parameters
    ----------
    mask : (H, W) bool array

    Returns
    -------
    list of (n, 2) int64 array
        The corners (y, x) of each, in order, along the edges of the pixels; none for an empty region. A region with a
        hole is cut in two through the hole.

    Examples
    --------
    >>> [each.tolist() for each in polygons(np.array([[True, True], [False, True]]))]
    [[[0, 0], [0, 2], [2, 2], [2, 1], [1, 1], [1, 0]]]
    >>> ring = np.pad(np.zeros((1, 1), bool), 1, constant_values=True)
    >>> len(polygons(ring))
    2
    """
    loops = [np.array(loop, np.int64)[:, ::-1] for loop in _loops(_corners(mask))]
    # Each line begins at the left end of its uppermost edge: below this edge lies a region, or a hole in one.
    hole = next((loop for loop in loops if not mask[tuple(loop[0])]), None)
    if hole is None:
        return loops
    cut = int(hole[:, 1].min()) + 1
    before, after = mask.copy(), mask.copy()
    before[:, cut:] = False
    after[:, :cut] = False
    return polygons(before) + polygons(after)


def _corners(mask: NDArray[np.bool_]) -> Corners:
    """Return the corners (y, x) of a region's outline, in reading order.

    Where two of its pixels touch by a corner alone, that corner is there twice.
    """
    padded = np.pad(mask, 1).astype(np.int8)
    upper, lower = padded[:-1], padded[1:]
    above_left, above = upper[:, :-1], upper[:, 1:]
    left, here = lower[:, :-1], lower[:, 1:]
    touching = (above_left == here) & (above == left) & (here != left)
    # The outline turns where one or three of the four pixels around a point are inside, and passes by where two are.
    turns = (above_left + above + left + here) % 2
    times = turns + 2 * touching
    places = np.argwhere(times)
    return np.repeat(places, times[times > 0], axis=0)


def _paired(order: Corners) -> list[int]:
    """Return the partner of each corner, when the first and second of an order are a pair, and so on."""
    partner = np.empty(len(order), np.int64)
    ones, others = order[::2], order[1::2]
    partner[ones] = others
    partner[others] = ones
    found: list[int] = partner.tolist()
    return found


def _loops(corners: Corners) -> Iterator[list[tuple[int, int]]]:
    """Yield the closed lines through the corners (x, y), each along a row to its partner there, then along a column."""
    count = len(corners)
    reading = np.arange(count)
    # An outline enters and leaves a row, or a column, in turn: the corners of one line are pairs in their order.
    along = _paired(reading)
    down = _paired(np.lexsort((reading, corners[:, 0], corners[:, 1])))
    y, x = corners.T.tolist()
    left = [True] * count
    for start in range(count):
        if not left[start]:
            continue
        line = []
        place = start
        while True:
            corner = along[place]
            left[place] = False
            left[corner] = False
            line += [(x[place], y[place]), (x[corner], y[corner])]
            place = down[corner]
            if place == start:
                break
        yield line


def _path(line: list[tuple[int, int]]) -> str:
    """Return a closed line as a path: first along a row, then along a column, and so on."""
    words = [f"M{line[0][0]} {line[0][1]}"]
    for place in range(1, len(line)):
        (x, y), (before_x, before_y) = line[place], line[place - 1]
        words.append(f"h{x - before_x}" if place % 2 else f"v{y - before_y}")
    return "".join(words) + "z"
