"""How far several explanations of one picture agree.

Explanations over the same segments are compared segment by segment, all others pixel by pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.attribution import strongest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Segments = NDArray[np.uint16]
    Signs = NDArray[np.int8]

CELLS = 16
"""Cells a side of the grid on which explanations over different segments are compared.

Pixels within a segment are no independent values: a correlation over them would look far too sure.
"""
DECIMALS = 12
"""Of a rank correlation: its last digits depend on the machine."""


@dataclass(frozen=True)
class Attribution:
    """One class's explanation of one picture.

    Attributes
    ----------
    segments : (H, W) uint16 array
        The segment of each pixel, 0…K-1.
    coefficients : (K,) float64 array
        In probability.
    """

    segments: Segments
    coefficients: Floats

    def signs(self, top: int) -> Signs:
        """Return where the strongest segments speak for the class and where against it.

        Parameters
        ----------
        top : int
            How many of the strongest segments count.

        Returns
        -------
        (H, W) int8 array
            1 for the class, -1 against it, 0 outside the `top` segments.
        """
        sign = np.zeros(len(self.coefficients), np.int8)
        chosen = strongest(self.coefficients, top)
        sign[chosen] = np.sign(self.coefficients[chosen])
        return np.asarray(sign[self.segments])

    def density(self) -> Floats:
        """Return the coefficient per pixel, spread evenly over each segment.

        Returns
        -------
        (H, W) float64 array
            In probability per pixel.
        """
        # A coefficient belongs to a whole segment. Undivided, a large segment would look important by its size alone.
        n_segments = len(self.coefficients)
        pixels = np.bincount(self.segments.ravel(), minlength=n_segments)
        per_pixel = self.coefficients / pixels
        return np.asarray(per_pixel[self.segments])


@dataclass(frozen=True)
class Agreement:
    """How far two explanations agree.

    Attributes
    ----------
    jaccard : float
        Of the `top` strongest segments, intersection by union, 0…1. Where the segments differ, the same of the
        pixels on which both have the same sign.
    rank_correlation : float
        Spearman's, of all coefficients, -1…1. Where the segments differ, of the densities on a coarse grid.
        NaN when one of the two is constant.
    sign_flips : float
        Share of the segments strongest in either whose signs differ. Where the segments differ, share of the
        pixels strongest in both. NaN where there are none.
    """

    jaccard: float
    rank_correlation: float
    sign_flips: float


def agreement(first: Attribution, second: Attribution, top: int) -> Agreement:
    """Compare two explanations of one class of one picture.

    Parameters
    ----------
    first, second : Attribution
        Over any segments of the same picture.
    top : int
        How many of the strongest segments count for `jaccard` and `sign_flips`.

    Returns
    -------
    Agreement

    Notes
    -----
    The figures follow the feature agreement, rank correlation and sign agreement of Krishna et al., "The Disagreement
    Problem in Explainable Machine Learning" (TMLR 2024), with Jaccard's index in place of the first.

    Examples
    --------
    >>> segments = np.array([[0, 1], [2, 3]], np.uint16)
    >>> one = Attribution(segments, np.array([0.4, 0.3, 0.0, -0.1]))
    >>> other = Attribution(segments, np.array([0.4, -0.3, 0.1, 0.0]))
    >>> agreement(one, other, 2)
    Agreement(jaccard=1.0, rank_correlation=0.4, sign_flips=0.5)
    """
    if np.array_equal(first.segments, second.segments):
        return _by_segment(first.coefficients, second.coefficients, top)
    return _by_pixel(first, second, top)


def _by_segment(first: Floats, second: Floats, top: int) -> Agreement:
    # Sets, not ranks: the order among the strongest changes with every run, and `rank_correlation` tells of it.
    one = set(strongest(first, top).tolist())
    other = set(strongest(second, top).tolist())
    either = sorted(one | other)
    correlation = _spearman(first, second)
    # Two explanations without a single coefficient name the same segments: none.
    if not either:
        return Agreement(1.0, correlation, np.nan)
    flipped = first[either] * second[either] < 0
    return Agreement(len(one & other) / len(either), correlation, float(flipped.mean()))


def _by_pixel(first: Attribution, second: Attribution, top: int) -> Agreement:
    one = first.signs(top)
    other = second.signs(top)
    either = (one != 0) | (other != 0)
    both = (one != 0) & (other != 0)
    jaccard = 1.0
    if either.any():
        shared = both & (one == other)
        jaccard = float(shared.sum() / either.sum())
    flips = np.nan
    if both.any():
        flips = float((one != other)[both].mean())
    # Densities, not coefficients: a cell holds pieces of several segments, and a mean needs values per pixel.
    correlation = _spearman(_coarse(first.density()), _coarse(second.density()))
    return Agreement(jaccard, correlation, flips)


def _coarse(values: Floats) -> Floats:
    """Return the mean of each cell of a grid: (CELLS²,), or fewer for a tiny picture."""
    height, width = values.shape
    row = _cell_of(height)
    column = _cell_of(width)
    cell = (row[:, None] * min(CELLS, width) + column).ravel()
    sums = np.bincount(cell, weights=values.ravel())
    return np.asarray(sums / np.bincount(cell))


def _cell_of(length: int) -> NDArray[np.int64]:
    """Return the cell of each of `length` pixels in a row: (length,) of 0…CELLS-1."""
    n_cells = min(CELLS, length)
    return np.asarray(np.arange(length) * n_cells // length)


def _spearman(first: Floats, second: Floats) -> float:
    from scipy.stats import spearmanr

    # SciPy warns of a constant argument: here a constant is an ordinary answer, of a model that does not move.
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    statistic = spearmanr(first, second).statistic
    return round(float(statistic), DECIMALS)


def held(attributions: Sequence[Attribution], top: int) -> Floats:
    """Return what several explanations of one picture and class say alike.

    Parameters
    ----------
    attributions : sequence of Attribution
        Of one picture and class, over any segments.
    top : int
        How many of the strongest segments of each count.

    Returns
    -------
    (H, W) float64 array
        Share of the explanations whose strongest segments speak there for the class, minus the share of those
        that speak against it: -1…1.

    Examples
    --------
    >>> segments = np.array([[0, 1]], np.uint16)
    >>> one = Attribution(segments, np.array([0.2, -0.1]))
    >>> other = Attribution(segments, np.array([0.3, 0.1]))
    >>> held([one, other], 2).tolist()
    [[1.0, 0.0]]
    """
    signs = [each.signs(top) for each in attributions]
    return np.asarray(np.mean(signs, axis=0, dtype=np.float64))


def difference(first: Attribution, second: Attribution) -> Floats:
    """Return how much more the first explanation says of each pixel's segment than the second.

    Parameters
    ----------
    first, second : Attribution
        Over any segments of the same picture.

    Returns
    -------
    (H, W) float64 array
        Difference of the coefficients, each as a share of the strongest one of its explanation: -2…2.

    Examples
    --------
    >>> segments = np.array([[0, 1]], np.uint16)
    >>> one = Attribution(segments, np.array([0.2, -0.1]))
    >>> other = Attribution(segments, np.array([0.0, 4.0]))
    >>> difference(one, other).tolist()
    [[1.0, -1.5]]
    """
    return np.asarray(_shares(first) - _shares(second))


def _shares(attribution: Attribution) -> Floats:
    """Return each pixel's coefficient as a share of the strongest one: (H, W)."""
    # Methods have scales of their own (probability, gradient): only shares can be subtracted.
    coefficients = attribution.coefficients
    largest = np.abs(coefficients).max() or 1.0
    return np.asarray(coefficients[attribution.segments] / largest)
