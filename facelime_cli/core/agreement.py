"""How far several explanations of one picture agree: segment by segment where they share the segments, else pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.attribution import strongest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CELLS = 16
"""Explanations over different segments are compared on a grid of this many cells a side: pixels within a segment are no independent values."""


@dataclass(frozen=True)
class Attribution:
    """One class's explanation of one picture.

    Attributes
    ----------
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    """

    segments: NDArray[np.uint16]
    coefficients: NDArray[np.float64]

    def signs(self, top: int) -> NDArray[np.int8]:
        """Return for every pixel whether one of the `top` strongest segments speaks there for (1) or against (-1) the class: (H, W) int8."""
        sign = np.zeros(len(self.coefficients), np.int8)
        chosen = strongest(self.coefficients, top)
        sign[chosen] = np.sign(self.coefficients[chosen])
        return np.asarray(sign[self.segments])

    def density(self) -> NDArray[np.float64]:
        """Return the coefficient per pixel, spread evenly over each segment: (H, W) float64. Large segments would look important by their size alone otherwise."""
        return np.asarray(
            (self.coefficients / np.bincount(self.segments.ravel(), minlength=len(self.coefficients)))[self.segments]
        )


@dataclass(frozen=True)
class Agreement:
    """How far two explanations agree.

    Attributes
    ----------
    jaccard : float
        Of the `top` strongest segments, intersection by union; by pixels (and equal signs) when the segments differ. 0…1.
    rank_correlation : float
        Spearman's, of all coefficients; of a coarse grid's densities when the segments differ. -1…1, NaN when one is constant.
    sign_flips : float
        Share of the segments strongest in either whose signs differ; of the pixels strongest in both when the segments differ. NaN where there are none.
    """

    jaccard: float
    rank_correlation: float
    sign_flips: float


def agreement(first: Attribution, second: Attribution, top: int) -> Agreement:
    """Compare two explanations of one class of one picture.

    Examples
    --------
    >>> segments = np.array([[0, 1], [2, 3]], np.uint16)
    >>> one, other = (Attribution(segments, np.array(each)) for each in ([0.4, 0.3, 0.0, -0.1], [0.4, -0.3, 0.1, 0.0]))
    >>> agreement(one, other, 2)
    Agreement(jaccard=1.0, rank_correlation=0.4, sign_flips=0.5)
    """
    if np.array_equal(first.segments, second.segments):
        return _by_segment(first.coefficients, second.coefficients, top)
    return _by_pixel(first, second, top)


def _by_segment(first: NDArray[np.float64], second: NDArray[np.float64], top: int) -> Agreement:
    one, other = set(strongest(first, top).tolist()), set(strongest(second, top).tolist())
    either = sorted(one | other)
    flips = float((first[either] * second[either] < 0).mean()) if either else np.nan
    return Agreement(len(one & other) / len(either) if either else 1.0, _spearman(first, second), flips)


def _by_pixel(first: Attribution, second: Attribution, top: int) -> Agreement:
    one, other = first.signs(top), second.signs(top)
    either, both = (one != 0) | (other != 0), (one != 0) & (other != 0)
    jaccard = float((both & (one == other)).sum() / either.sum()) if either.any() else 1.0
    flips = float((one != other)[both].mean()) if both.any() else np.nan
    return Agreement(jaccard, _spearman(_coarse(first.density()), _coarse(second.density())), flips)


def _coarse(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each cell of a grid, (CELLS², ) or fewer for a tiny picture."""
    height, width = values.shape
    rows, columns = (np.arange(length) * min(CELLS, length) // length for length in (height, width))
    cell = rows[:, None] * min(CELLS, width) + columns
    return np.asarray(np.bincount(cell.ravel(), weights=values.ravel()) / np.bincount(cell.ravel()))


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    from scipy.stats import spearmanr

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return round(float(spearmanr(first, second).statistic), 12)


def held(attributions: Sequence[Attribution], top: int) -> NDArray[np.float64]:
    """Return what holds whatever is chosen: for each pixel the share of explanations whose strongest segments speak there for the class, minus that of those against it.

    Parameters
    ----------
    attributions : sequence of Attribution
        Of one picture and class, over any segments.
    top : int

    Returns
    -------
    (H, W) float64 array in -1…1
    """
    return np.asarray(np.mean([each.signs(top) for each in attributions], axis=0, dtype=np.float64))


def difference(first: Attribution, second: Attribution) -> NDArray[np.float64]:
    """Return for each pixel how much more the first says of its segment than the second, both as shares of what each says of its strongest: (H, W) float64 in -2…2.

    Examples
    --------
    >>> segments = np.array([[0, 1]], np.uint16)
    >>> difference(Attribution(segments, np.array([0.2, -0.1])), Attribution(segments, np.array([0.0, 4.0]))).tolist()
    [[1.0, -1.5]]
    """
    one, other = (
        each.coefficients[each.segments] / (np.abs(each.coefficients).max() or 1.0) for each in (first, second)
    )
    return np.asarray(one - other)
