"""Regular divisions of a picture's area, which look at nothing in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNEVEN_COST = math.log(1.5)
"""Cells of a grid may be this much longer than wide before rows of unequal number are better."""
HEXAGON_ROW = math.sqrt(3) / 2
"""Distance between the rows of a honeycomb whose cells are one wide."""
STRETCH_COST = 0.25
"""How much |log| of a honeycomb's stretch weighs against |log| of a number of cells that is not the one asked for."""


def squares(shape: tuple[int, ...], count: int) -> NDArray[np.int64]:
    """Return exactly `count` near-square cells: rows of equal cells; where the number has no two factors near enough, some rows have one more than others and are as much higher.

    Examples
    --------
    >>> squares((4, 6), 6).tolist()
    [[0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5], [3, 3, 4, 4, 5, 5]]
    >>> np.bincount(squares((60, 60), 7).ravel()).tolist()
    [520, 520, 520, 510, 510, 510, 510]
    """
    height, width = shape
    rows = min(
        range(1, min(count, height) + 1),
        key=lambda rows: abs(math.log(rows * rows * width / (count * height))) + (count % rows > 0) * UNEVEN_COST,
    )
    per_row = np.full(rows, count // rows)
    per_row[: count % rows] += 1
    ends = np.concatenate([[0], np.cumsum(per_row)])
    row = np.searchsorted(np.round(ends * height / count)[1:-1], np.arange(height), side="right")
    across = (np.arange(width)[None] * per_row[row][:, None]) // width
    return np.asarray(ends[row][:, None] + across)


def hexagons(shape: tuple[int, ...], count: int) -> NDArray[np.int64]:
    """Return about `count` cells of a honeycomb, as many in each row, every second row half a cell further."""
    from scipy.spatial import cKDTree

    height, width = shape
    ideal = height / (HEXAGON_ROW * width)
    sizes = [(rows, columns) for rows in range(1, count + 1) for columns in {max(1, count // rows), count // rows + 1}]
    rows, columns = min(
        sizes,
        key=lambda size: (
            abs(math.log(size[0] * size[1] / count)) + STRETCH_COST * abs(math.log(size[0] / size[1] / ideal))
        ),
    )
    row, column = np.divmod(np.arange(rows * columns), columns)
    centres = np.stack([(row + 0.5) * height / rows, (column + 0.25 + 0.5 * (row % 2)) * width / columns], axis=1)
    y, x = np.mgrid[:height, :width] + 0.5
    return np.asarray(cKDTree(centres).query(np.stack([y.ravel(), x.ravel()], axis=1))[1].reshape(height, width))


CELLS = {"square": squares, "hexagon": hexagons}
