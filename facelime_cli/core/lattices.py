"""Regular divisions of a picture's area, which look at nothing in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.int64]
    Floats = NDArray[np.float64]

UNEVEN_COST = math.log(1.5)
"""Cells of a grid may be this much longer than wide before rows of unequal number are better."""
HEXAGON_ROW = math.sqrt(3) / 2
"""Distance between the rows of a honeycomb whose cells are one wide."""
STRETCH_COST = 0.25
"""How much |log| of a honeycomb's stretch weighs against |log| of its number of cells by that asked for."""


def squares(shape: tuple[int, ...], count: int) -> Labels:
    """Return exactly `count` near-square cells.

    The cells lie in rows and are equal. Where the number has no two factors near enough, some rows have one cell more
    than others and are as much higher.

    Parameters
    ----------
    shape : (int, int)
        Height and width, in pixels.
    count : int
        How many cells.

    Returns
    -------
    (H, W) int64 array
        0…count-1, row by row.

    Examples
    --------
    >>> squares((4, 6), 6).tolist()
    [[0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5], [3, 3, 4, 4, 5, 5]]
    >>> np.bincount(squares((60, 60), 7).ravel()).tolist()
    [520, 520, 520, 510, 510, 510, 510]
    """
    height, width = shape
    rows = _best_rows(height, width, count)
    per_row = np.full(rows, count // rows)
    per_row[: count % rows] += 1
    sums = np.cumsum(per_row)
    ends = np.concatenate([[0], sums])
    # A row's height goes with its number of cells, so that all cells have the same area: a fill of a larger one would
    # weigh more in the picture.
    borders = np.round(ends * height / count)[1:-1]
    row = np.searchsorted(borders, np.arange(height), side="right")
    column = np.arange(width)[None]
    cells = per_row[row][:, None]
    first = ends[row][:, None]
    across = (column * cells) // width
    return np.asarray(first + across)


def _best_rows(height: int, width: int, count: int) -> int:
    """Return the number of rows whose cells are nearest to squares, equal rows preferred."""

    def cost(rows: int) -> float:
        # A logarithm, so that a cell twice as long as wide is as bad as one twice as wide as long.
        stretch = rows * rows * width / (count * height)
        uneven = count % rows > 0
        return abs(math.log(stretch)) + uneven * UNEVEN_COST

    most = min(count, height)
    return min(range(1, most + 1), key=cost)


def hexagons(shape: tuple[int, ...], count: int) -> Labels:
    """Return about `count` cells of a honeycomb.

    All rows have the same number of cells. Every second row is half a cell further right.

    Parameters
    ----------
    shape : (int, int)
        Height and width, in pixels.
    count : int
        About how many cells.

    Returns
    -------
    (H, W) int64 array
        Cell numbers from 0, row by row.

    Examples
    --------
    >>> np.bincount(hexagons((60, 60), 12).ravel()).tolist()
    [250, 300, 350, 325, 300, 275, 275, 300, 325, 350, 300, 250]
    """
    from scipy.spatial import cKDTree

    height, width = shape
    rows, columns = _best_honeycomb(height, width, count)
    cells = np.arange(rows * columns)
    row, column = np.divmod(cells, columns)
    centre_y = (row + 0.5) * height / rows
    # A quarter and three quarters, so that both kinds of row end equally far from the picture's sides.
    half_cell = 0.5 * (row % 2)
    centre_x = (column + 0.25 + half_cell) * width / columns
    centres = np.stack([centre_y, centre_x], axis=1)
    y, x = np.mgrid[:height, :width] + 0.5
    pixels = np.stack([y.ravel(), x.ravel()], axis=1)
    # The cells are the Voronoi cells of their centres: no drawing of borders, and none is forgotten.
    tree = cKDTree(centres)
    _, nearest = tree.query(pixels)
    return np.asarray(nearest.reshape(height, width))


def _best_honeycomb(height: int, width: int, count: int) -> tuple[int, int]:
    """Return the rows and columns nearest to `count` regular hexagons."""
    ideal = height / (HEXAGON_ROW * width)

    def cost(size: tuple[int, int]) -> float:
        rows, columns = size
        surplus = abs(math.log(rows * columns / count))
        stretch = abs(math.log(rows / columns / ideal))
        return surplus + STRETCH_COST * stretch

    sizes = []
    for rows in range(1, count + 1):
        fewer = max(1, count // rows)
        more = count // rows + 1
        sizes += [(rows, columns) for columns in {fewer, more}]
    return min(sizes, key=cost)


CELLS = {"square": squares, "hexagon": hexagons}
