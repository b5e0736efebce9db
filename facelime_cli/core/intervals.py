"""How far the coefficients of a surrogate would move with other masks: intervals, signs, and draws of what another run might find.

Masks are random, predictions are not: what is uncertain is which masks were drawn. Independent of each other are not always single samples but their `units_of`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from facelime_cli.core.masks import WORD_VALUES, random_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from facelime_cli.core.linear import Fit, Fitter, Floats, Smoother

    Units = NDArray[np.int64]
    Draws = Callable[[int], Floats]

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
DRAWS = 200
"""Draws of another run: the standard error of a chance that is estimated from them is below 0.036."""
LARGEST_LEVERAGE = 0.99
"""A unit that the fit follows entirely has no residual left to judge it by: errors divide by 1 - leverage, or its root."""


@dataclass(frozen=True)
class Uncertainty:
    """What is known of the errors of a fit.

    Attributes
    ----------
    interval : (K, C, 2) array
        95 %, NaN where there is none.
    p_sign : (K, C) array
        Chance that another run gives a coefficient the same sign; that of a coefficient of exactly 0 is that it is left out again. NaN where it is not known.
    draws : callable, optional
        For a class, what other runs might find: (D, K).
    """

    interval: Floats
    p_sign: Floats
    draws: Draws | None = None


@dataclass(frozen=True)
class Sample:
    """What a surrogate was fitted to: masks (S, K), probabilities (S, C), weights (S,), and which rows depend on each other, (S,)."""

    masks: Floats
    probabilities: Floats
    weights: Floats
    units: Units


def effective(weights: Floats) -> float:
    """Return how many samples of equal weight tell as much: (Σw)² / Σw² (Kish 1965), 0 where none has a weight."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0


def units_of(masks: NDArray[np.bool_], blocks: NDArray[np.int32]) -> Units:
    """Return the unit of each row: a mask and its complement in the same block are one, all other rows are independent.

    In a block of the `balanced` design, rows that are no complements depend on each other so little (two of them agree in half of the columns, as independent ones
    do on average) that errors by pair are right: 94 to 96 % of nominal 95 % intervals hold, and there are far too few blocks for errors by block.

    Parameters
    ----------
    masks : (S, K) bool array
    blocks : (S,) int32 array
        From `masks.blocks`.

    Examples
    --------
    >>> units_of(np.array([[1, 1], [0, 1], [1, 0], [1, 0]], bool), np.array([0, 1, 1, 2], np.int32)).tolist()
    [0, 1, 1, 2]
    """
    if len(np.unique(blocks)) == len(blocks):
        return np.arange(len(blocks))
    either = np.packbits(masks ^ masks[:, :1], axis=1)  # the same for a mask and its complement
    keys = np.concatenate([blocks.astype(">i4")[:, None].view(np.uint8), either], axis=1)
    return numbered(keys)


def numbered(rows: NDArray[np.uint8]) -> Units:
    """Return a number for each row of bytes, the same for equal ones, without gaps: (S,)."""
    whole = np.ascontiguousarray(rows).view(f"V{rows.shape[1]}")
    return np.asarray(np.unique(whole.ravel(), return_inverse=True)[1])


def analytic(fit: Fit, sample: Sample, fitter: Fitter, key: int) -> Uncertainty:  # noqa: ARG001 - one signature for every kind of interval
    """Return the errors that follow from the fit itself: robust ones for least squares, the posterior's for a posterior, none for a selection."""
    if fit.smoother is not None:
        return _robust(fit, sample, key)
    return unknown(fit) if fit.covariance is None else _posterior(fit, fit.covariance, key)


def unknown(fit: Fit) -> Uncertainty:
    """Return no interval: the samples that chose the segments say nothing of how well they were chosen."""
    return Uncertainty(np.full((*fit.coefficients.shape, 2), np.nan), np.full(fit.coefficients.shape, np.nan))


def certain(fit: Fit) -> Uncertainty:
    """Return intervals without width: when all masks there are were used, another run finds the same."""
    return Uncertainty(
        np.stack([fit.coefficients] * 2, axis=-1),
        np.ones_like(fit.coefficients),
        lambda c: fit.coefficients[None, :, c],
    )


def _robust(fit: Fit, sample: Sample, key: int) -> Uncertainty:
    """Return errors that assume no equal variances, and independence of units alone, about the unbiased coefficients.

    HC2 (MacKinnon and White, J. Econometrics 29, 1985) for units of one row, CR2 (Bell and McCaffrey, Survey Methodology 28, 2002) for pairs; Student's t with as
    many degrees of freedom as units are left after one for each coefficient. Intervals are wide enough to hold the fitted coefficients, which a penalty draws to 0.
    Where no unit is left, residuals are 0 whatever the errors: then there are no intervals.
    """
    covariance, n_units = _sandwich(fit, sample)
    error = _errors(covariance)
    freedom = n_units - len(error) - 1
    if min(freedom, effective(sample.weights) - len(error) - 1) < 1:
        return unknown(fit)
    half = stdtrit(freedom, 1 - TAIL) * error
    return Uncertainty(
        _about(fit, fit.target - half, fit.target + half),
        stdtr(freedom, _ratio(fit.target, error)),
        _draws(fit, covariance, key),
    )


def _posterior(fit: Fit, covariance: Floats, key: int) -> Uncertainty:
    """Return the intervals of a normal posterior."""
    error = _errors(covariance)
    half = ndtri(1 - TAIL) * error
    return Uncertainty(
        _about(fit, fit.coefficients - half, fit.coefficients + half),
        ndtr(_ratio(fit.coefficients, error)),
        _draws(fit, covariance, key),
    )


def _draws(fit: Fit, covariance: Floats, key: int) -> Draws:
    """Return draws of a normal distribution about the fitted coefficients."""
    normal = ndtri((random_words(key, 0, DRAWS, len(fit.coefficients)) + 0.5) / WORD_VALUES)
    return lambda c: fit.coefficients[:, c] + normal @ _root(covariance[c]).T


def _root(covariance: Floats) -> Floats:
    """Return a matrix whose product with its transpose is a covariance matrix, a singular one too."""
    try:
        return np.asarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _errors(covariance: Floats) -> Floats:
    """Return the standard errors (K, C) of covariances (C, K, K)."""
    return np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0.0)).T


def _about(fit: Fit, low: Floats, high: Floats) -> Floats:
    """Return intervals, widened where they do not hold the coefficient itself, since a penalty has drawn it to 0."""
    return np.stack([np.minimum(low, fit.coefficients), np.maximum(high, fit.coefficients)], axis=-1)


def _ratio(coefficients: Floats, error: Floats) -> Floats:
    return np.asarray(np.abs(coefficients) / np.maximum(error, np.finfo(np.float64).tiny))


def _sandwich(fit: Fit, sample: Sample) -> tuple[Floats, int]:
    """Return the covariance of the coefficients (C, K, K), the sum over units of squares of what each adds to them, and the number of units."""
    assert fit.smoother is not None
    residuals = (
        sample.probabilities - fit.predict(sample.masks) - fit.smoother.regressors @ (fit.target - fit.coefficients)
    )
    counts = np.bincount(sample.units)
    order = np.argsort(sample.units, kind="stable")
    starts = np.cumsum(counts) - counts
    covariance = np.zeros((residuals.shape[1], *fit.smoother.spread.shape))
    for size in np.unique(counts):
        rows = order[starts[counts == size][:, None] + np.arange(size)]
        lever, pull = fit.smoother.lever[rows], _corrected(fit.smoother, rows, residuals[rows])
        for c in range(len(covariance)):
            scores = np.einsum("unk,un->uk", lever, pull[:, :, c])
            covariance[c] += scores.T @ scores
    return covariance, len(counts)


def _corrected(smoother: Smoother, rows: Units, residuals: Floats) -> Floats:
    """Return w (1 - H)^(-1/2) e for units of n rows each, H their part of the hat matrix: rows (U, n), residuals (U, n, C)."""
    if rows.shape[1] == 1:
        return np.asarray(
            (smoother.weights / np.sqrt(1 - np.minimum(smoother.leverage, LARGEST_LEVERAGE)))[rows, None] * residuals
        )
    root = np.sqrt(smoother.weights[rows])
    hat = (
        (smoother.regressors[rows] @ smoother.lever[rows].transpose(0, 2, 1) + smoother.level)
        * root[:, :, None]
        * root[:, None, :]
    )
    values, vectors = np.linalg.eigh(hat)
    shrunk = (vectors / np.sqrt(1 - np.minimum(values, LARGEST_LEVERAGE))[:, None, :]) @ vectors.transpose(0, 2, 1)
    return np.asarray(root[..., None] * (shrunk @ (root[..., None] * residuals)))


def bootstrap(fit: Fit, sample: Sample, fitter: Fitter, key: int) -> Uncertainty:
    """Return percentile intervals of the bootstrap (Efron, Annals of Statistics 7, 1979), which refits everything, a selection too, to units drawn with replacement."""
    counting = np.unique(sample.units[sample.weights > 0])
    n_units = int(sample.units.max()) + 1
    drawn = counting[random_words(key, 0, DRAWS, len(counting)) % len(counting)]
    again = [
        fitter(sample.masks, sample.probabilities, sample.weights * np.bincount(each, minlength=n_units)[sample.units])
        for each in drawn
    ]
    coefficients = np.stack([each.coefficients for each in again])
    low, high = np.quantile(np.stack([each.target for each in again]), [TAIL, 1 - TAIL], axis=0, method="weibull")
    same = (np.sign(coefficients) == np.sign(fit.coefficients)).mean(axis=0)
    return Uncertainty(_about(fit, low, high), same, lambda c: coefficients[:, :, c])


INTERVALS: dict[str, Callable[[Fit, Sample, Fitter, int], Uncertainty]] = {"analytic": analytic, "bootstrap": bootstrap}
