"""Back from a picture of a dataset to the original picture that it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelime_cli.core.operations import Box
    from facelime_cli.core.shapes import Sides

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """Where a picture of a dataset lies in its original.

    Attributes
    ----------
    sides : (int, int)
        Height and width of the dataset's picture, in pixels.
    original : (int, int)
        Those of the original, upright as a person sees it.
    seen : (int, int, int, int)
        Top, left, bottom and right of what the picture shows of the original; beyond its edges where it was padded.

    Examples
    --------
    A picture of 2×2 pixels shows the middle of an original of 2 rows and 6 columns.

    >>> placed = Placement((2, 2), (2, 6), (0, 1, 2, 5))
    >>> placed.restored(np.array([[1, 2], [3, 4]]), outside=0).tolist()
    [[0, 1, 1, 2, 2, 0], [0, 3, 3, 4, 4, 0]]
    >>> placed.points(np.array([0, 2]), np.array([0, 1]))
    (array([0., 2.]), array([1., 3.]))
    """

    sides: Sides
    original: Sides
    seen: Box

    def restored(self, values: NDArray[Any], outside: float) -> NDArray[Any]:
        """Return what a picture of the dataset says of each pixel of its original.

        Parameters
        ----------
        values : (h, w, ...) array
            One value, or several, for each pixel of the dataset's picture.
        outside : number
            What stands where the picture shows nothing of the original.

        Returns
        -------
        (H, W, ...) array
            Of the same type. A pixel has the value of the pixel that its middle lies in: a mean of two regions would be
            none.
        """
        rows, columns = (self._sources(axis) for axis in (0, 1))
        found = np.full((*self.original, *values.shape[2:]), outside, values.dtype)
        inside = np.ix_(np.flatnonzero(rows >= 0), np.flatnonzero(columns >= 0))
        found[inside] = values[np.ix_(rows[rows >= 0], columns[columns >= 0])]
        return found

    def _sources(self, axis: int) -> NDArray[np.int64]:
        """Return for each row or column of the original that of the dataset's picture, -1 for none."""
        start, stop = self.seen[axis], self.seen[axis + 2]
        # The middle of each pixel, in whole numbers: a float may fall on the wrong side of an edge.
        middles = 2 * (np.arange(self.original[axis], dtype=np.int64) - start) + 1
        sources = middles * self.sides[axis] // (2 * (stop - start))
        return np.where((sources >= 0) & (sources < self.sides[axis]), sources, -1)

    def shows(self) -> NDArray[np.bool_]:
        """Return which pixels of the dataset's picture show something of the original, all or in part.

        Returns
        -------
        (h, w) bool array
        """
        within = []
        for axis in (0, 1):
            edges = self._in_original(np.arange(self.sides[axis] + 1), axis)
            within.append((edges[1:] > 0) & (edges[:-1] < self.original[axis]))
        return within[0][:, None] & within[1]

    def points(self, y: NDArray[Any], x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Return where points of the dataset's picture lie in the original.

        Parameters
        ----------
        y, x : (n,) array
            From 0 at the upper and left edge of the picture to its height and width.

        Returns
        -------
        (n,) float64 array, (n,) float64 array
            In pixels from the original's upper and left edge; points beyond its edges are moved onto them.
        """
        height, width = self.original
        return np.clip(self._in_original(y, 0), 0, height), np.clip(self._in_original(x, 1), 0, width)

    def _in_original(self, places: NDArray[Any], axis: int) -> Floats:
        start, stop = self.seen[axis], self.seen[axis + 2]
        return np.asarray(start + places * (stop - start) / self.sides[axis], np.float64)
