"""How far the coefficients of a surrogate would move with other masks: intervals, signs, draws of another run.

Masks are random, predictions are not: what is uncertain is which masks were drawn. Not every sample is independent of
all others. Their `units_of` are.

Notation: S samples, K segments, C classes, D draws, U units.
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
    Bools = NDArray[np.bool_]
    Draws = Callable[[int], Floats]

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
DRAWS = 200
"""Draws of another run: the standard error of a chance that is estimated from them is below 0.036."""
LARGEST_LEVERAGE = 0.99
"""A unit that the fit follows entirely has no residual left to judge it by: errors divide by √(1 - leverage)."""


@dataclass(frozen=True)
class Uncertainty:
    """What is known of the errors of a fit.

    Attributes
    ----------
    interval : (K, C, 2) float64 array
        95 %, in probability. NaN where there is none.
    p_sign : (K, C) float64 array
        Chance that another run gives a coefficient the same sign, NaN where it is not known. For a coefficient of
        exactly 0 it is the chance that it is left out again.
    draws : callable, optional
        For a class, what other runs might find: (D, K) float64, in probability.
    """

    interval: Floats
    p_sign: Floats
    draws: Draws | None = None


@dataclass(frozen=True)
class Sample:
    """What a surrogate was fitted to.

    Attributes
    ----------
    masks : (S, K) float64 array
        1 where a segment is kept, else 0.
    probabilities : (S, C) float64 array
        The model's answers.
    weights : (S,) float64 array
        Proximity of each sample.
    units : (S,) int64 array
        From `units_of`: rows of the same unit depend on each other.
    """

    masks: Floats
    probabilities: Floats
    weights: Floats
    units: Units


def effective(weights: Floats) -> float:
    """Return how many samples of equal weight tell as much.

    Parameters
    ----------
    weights : (S,) float64 array
        Not negative.

    Returns
    -------
    float
        (Σw)² / Σw², from 1 to S; 0 where no sample has a weight.

    References
    ----------
    Kish, "Survey Sampling", Wiley 1965.

    Examples
    --------
    >>> effective(np.array([1.0, 1.0, 0.0])), effective(np.zeros(3))
    (2.0, 0.0)
    """
    if not weights.any():
        return 0.0
    return float(weights.sum() ** 2 / (weights**2).sum())


def units_of(masks: Bools, blocks: NDArray[np.int32]) -> Units:
    """Return the unit of each row: a mask and its complement in the same block are one, all others are independent.

    Parameters
    ----------
    masks : (S, K) bool array
        1 where a segment is kept.
    blocks : (S,) int32 array
        From `masks.blocks`.

    Returns
    -------
    (S,) int64 array
        From 0, without gaps.

    Notes
    -----
    In a block of the `balanced` design, two rows that are no complements agree in half of the columns, as independent
    ones do on average. They depend on each other so little that errors by pair are right: 94 to 96 % of nominal 95 %
    intervals hold. There are far too few blocks for errors by block.

    Examples
    --------
    >>> units_of(np.array([[1, 1], [0, 1], [1, 0], [1, 0]], bool), np.array([0, 1, 1, 2], np.int32)).tolist()
    [0, 1, 1, 2]
    """
    n_samples = len(blocks)
    if len(np.unique(blocks)) == n_samples:
        return np.arange(n_samples)
    # With its first column flipped away, a mask and its complement are the same.
    first = masks[:, :1]
    either = np.packbits(masks ^ first, axis=1)
    # Big-endian, so that byte by byte they sort as numbers, on every machine.
    block_bytes = blocks.astype(">i4")[:, None].view(np.uint8)
    keys = np.concatenate([block_bytes, either], axis=1)
    return numbered(keys)


def numbered(rows: NDArray[np.uint8]) -> Units:
    """Return a number for each row of bytes, the same for equal ones.

    Parameters
    ----------
    rows : (S, B) uint8 array
        B bytes each.

    Returns
    -------
    (S,) int64 array
        From 0, without gaps, in the order of the bytes.

    Examples
    --------
    >>> numbered(np.array([[9, 1], [0, 2], [9, 1]], np.uint8)).tolist()
    [1, 0, 1]
    """
    n_bytes = rows.shape[1]
    # One opaque value a row: several times as fast as np.unique(axis=0).
    whole = np.ascontiguousarray(rows).view(f"V{n_bytes}")
    _, number = np.unique(whole.ravel(), return_inverse=True)
    return np.asarray(number)


def analytic(fit: Fit, sample: Sample, fitter: Fitter, key: int) -> Uncertainty:  # noqa: ARG001 - one signature for all
    """Return the errors that follow from the fit itself.

    Parameters
    ----------
    fit : Fit
        Of the sample.
    sample : Sample
        What it was fitted to.
    fitter : callable
        Not used.
    key : int
        Philox key of the draws, 128 bits.

    Returns
    -------
    Uncertainty
        Robust errors for least squares, the posterior's for a posterior, none (NaN) for a selection.
    """
    if fit.smoother is not None:
        return _robust(fit, sample, key)
    if fit.covariance is not None:
        return _posterior(fit, fit.covariance, key)
    return unknown(fit)


def unknown(fit: Fit) -> Uncertainty:
    """Return no interval, for a fit that chose its segments by the same samples.

    Parameters
    ----------
    fit : Fit
        Its shapes count.

    Returns
    -------
    Uncertainty
        NaN everywhere, without draws.
    """
    # Textbook errors after a selection are far too small: they take the choice for given.
    interval = np.full((*fit.coefficients.shape, 2), np.nan)
    p_sign = np.full(fit.coefficients.shape, np.nan)
    return Uncertainty(interval, p_sign)


def certain(fit: Fit) -> Uncertainty:
    """Return intervals without width, for a fit to all masks there are: another run finds the same.

    Parameters
    ----------
    fit : Fit
        Of all masks.

    Returns
    -------
    Uncertainty
        Both ends are the coefficient, every sign is certain, the only draw is the fit.
    """
    interval = np.stack([fit.coefficients] * 2, axis=-1)
    p_sign = np.ones_like(fit.coefficients)
    return Uncertainty(interval, p_sign, lambda c: fit.coefficients[None, :, c])


def _robust(fit: Fit, sample: Sample, key: int) -> Uncertainty:
    """Return errors that assume independence of units alone, and no equal variances, about the unbiased coefficients.

    HC2 (MacKinnon and White, J. Econometrics 29, 1985) for units of one row, CR2 (Bell and McCaffrey, Survey
    Methodology 28, 2002) for pairs. Student's t has as many degrees of freedom as units are left after one for each
    coefficient. Where none is left, residuals are 0 whatever the errors: then there are no intervals.
    """
    covariance, n_units = _sandwich(fit, sample)
    error = _errors(covariance)
    n_coefficients = len(error) + 1
    freedom = n_units - n_coefficients
    effective_freedom = effective(sample.weights) - n_coefficients
    if min(freedom, effective_freedom) < 1:
        return unknown(fit)
    quantile = stdtrit(freedom, 1 - TAIL)
    half = quantile * error
    # About the unbiased estimate: errors about a coefficient that a penalty drew to 0 would miss what it tends to.
    low = fit.target - half
    high = fit.target + half
    interval = _about(fit, low, high)
    p_sign = stdtr(freedom, _ratio(fit.target, error))
    return Uncertainty(interval, p_sign, _draws(fit, covariance, key))


def _posterior(fit: Fit, covariance: Floats, key: int) -> Uncertainty:
    """Return the intervals of a normal posterior."""
    error = _errors(covariance)
    half = ndtri(1 - TAIL) * error
    low = fit.coefficients - half
    high = fit.coefficients + half
    interval = _about(fit, low, high)
    p_sign = ndtr(_ratio(fit.coefficients, error))
    return Uncertainty(interval, p_sign, _draws(fit, covariance, key))


def _draws(fit: Fit, covariance: Floats, key: int) -> Draws:
    """Return draws of a normal distribution about the fitted coefficients."""
    n_segments = len(fit.coefficients)
    words = random_words(key, 0, DRAWS, n_segments)
    # From raw bits through the inverse distribution: NumPy's normal numbers may change with its version.
    normal = ndtri((words + 0.5) / WORD_VALUES)
    return lambda c: fit.coefficients[:, c] + normal @ _root(covariance[c]).T


def _root(covariance: Floats) -> Floats:
    """Return a matrix whose product with its transpose is a covariance matrix, a singular one too."""
    try:
        return np.asarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        deviations = np.sqrt(np.maximum(values, 0.0))
        return np.asarray(vectors * deviations)


def _errors(covariance: Floats) -> Floats:
    """Return the standard errors (K, C) of covariances (C, K, K)."""
    variances = np.diagonal(covariance, axis1=1, axis2=2)
    return np.sqrt(np.maximum(variances, 0.0)).T


def _about(fit: Fit, low: Floats, high: Floats) -> Floats:
    """Return intervals, widened where they do not hold the coefficient itself, since a penalty has drawn it to 0."""
    lower = np.minimum(low, fit.coefficients)
    upper = np.maximum(high, fit.coefficients)
    return np.stack([lower, upper], axis=-1)


def _ratio(coefficients: Floats, error: Floats) -> Floats:
    """Return coefficients in standard errors, very large where there is no error: (K, C)."""
    divisor = np.maximum(error, np.finfo(np.float64).tiny)
    return np.asarray(np.abs(coefficients) / divisor)


def _sandwich(fit: Fit, sample: Sample) -> tuple[Floats, int]:
    """Return the covariance of the coefficients, and the number of units.

    It is the sum over units of squares of what each adds to the coefficients: (C, K, K).
    """
    assert fit.smoother is not None
    unbiasing = fit.smoother.regressors @ (fit.target - fit.coefficients)
    residuals = sample.probabilities - fit.predict(sample.masks) - unbiasing
    counts = np.bincount(sample.units)
    order = np.argsort(sample.units, kind="stable")
    starts = np.cumsum(counts) - counts
    n_classes = residuals.shape[1]
    covariance = np.zeros((n_classes, *fit.smoother.spread.shape))
    # Units of one size at a time: a loop over thousands of units in Python would take longer than the fit.
    for size in np.unique(counts):
        first = starts[counts == size]
        rows = order[first[:, None] + np.arange(size)]
        lever = fit.smoother.lever[rows]
        pull = _corrected(fit.smoother, rows, residuals[rows])
        for c in range(n_classes):
            scores = np.einsum("unk,un->uk", lever, pull[:, :, c])
            covariance[c] += scores.T @ scores
    return covariance, len(counts)


def _corrected(smoother: Smoother, rows: Units, residuals: Floats) -> Floats:
    """Return w (1 - H)^(-1/2) e for units of n rows each: (U, n, C).

    H is their piece of the hat matrix, `rows` (U, n), `residuals` (U, n, C). A fit follows its own samples, so that
    residuals are smaller than errors. The root corrects what is expected of their square.
    """
    n_rows = rows.shape[1]
    if n_rows == 1:
        # A matrix of one number needs no eigenvalues.
        left = 1 - np.minimum(smoother.leverage, LARGEST_LEVERAGE)
        factor = smoother.weights / np.sqrt(left)
        return np.asarray(factor[rows, None] * residuals)
    root = np.sqrt(smoother.weights[rows])
    lever = smoother.lever[rows].transpose(0, 2, 1)
    unweighted = smoother.regressors[rows] @ lever + smoother.level
    # Weighted on both sides, the hat matrix is symmetric: only then its root is its eigenvectors'.
    hat = unweighted * root[:, :, None] * root[:, None, :]
    values, vectors = np.linalg.eigh(hat)
    left = 1 - np.minimum(values, LARGEST_LEVERAGE)
    scaled = vectors / np.sqrt(left)[:, None, :]
    shrunk = scaled @ vectors.transpose(0, 2, 1)
    weighted = root[..., None] * residuals
    return np.asarray(root[..., None] * (shrunk @ weighted))


def bootstrap(fit: Fit, sample: Sample, fitter: Fitter, key: int) -> Uncertainty:
    """Return percentile intervals of the bootstrap: everything is refitted to units drawn with replacement.

    Parameters
    ----------
    fit : Fit
        Of the sample.
    sample : Sample
        What it was fitted to.
    fitter : callable
        Fits again. A selection selects again.
    key : int
        Philox key of the draws, 128 bits.

    Returns
    -------
    Uncertainty

    References
    ----------
    Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979.
    """
    # Samples of weight 0 are conditions of the fit, such as the empty picture of Shapley values: they are not drawn.
    counting = np.unique(sample.units[sample.weights > 0])
    n_units = int(sample.units.max()) + 1
    words = random_words(key, 0, DRAWS, len(counting))
    drawn = counting[words % len(counting)]
    again = []
    for units in drawn:
        # Weights in place of copied rows: a sample drawn twice weighs twice.
        times = np.bincount(units, minlength=n_units)
        weights = sample.weights * times[sample.units]
        again.append(fitter(sample.masks, sample.probabilities, weights))
    coefficients = np.stack([each.coefficients for each in again])
    targets = np.stack([each.target for each in again])
    low, high = np.quantile(targets, [TAIL, 1 - TAIL], axis=0, method="weibull")
    same = np.sign(coefficients) == np.sign(fit.coefficients)
    interval = _about(fit, low, high)
    p_sign = same.mean(axis=0)
    return Uncertainty(interval, p_sign, lambda c: coefficients[:, :, c])


INTERVALS: dict[str, Callable[[Fit, Sample, Fitter, int], Uncertainty]] = {"analytic": analytic, "bootstrap": bootstrap}
