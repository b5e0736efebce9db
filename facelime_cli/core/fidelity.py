"""How far a surrogate can be trusted: figures from samples that it was not fitted on, and a verdict in words."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core import masks as mask_design
from facelime_cli.core import surrogate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from facelime_cli.core.surrogate import Fit, Floats

    Fitter = Callable[[Floats, Floats, Floats], Fit]

FOLDS = 5
DRAWS = 200
"""Resampled fits for the chance that the strongest segments stay the same: its standard error is below 0.036."""
STILL_PROBABILITY = 0.005
"""Weighted standard deviation of the model's probability below which nothing is left to explain: half a probability point."""
FAITHFUL_R2 = 0.5
"""A surrogate that explains less than half of the variance does not describe the model."""
PRECISE_SHARE = 0.5
"""Largest half interval of a top segment, as a share of the strongest coefficient."""
LEAST_REPEAT = 0.5
"""Least chance that another run's strongest segments are the same set."""
CLEAR_R2 = 0.9
"""A surrogate this close describes the model: if its strongest segments change places, they are equal."""
ERROR_SHARE = 0.05
FULL_PICTURE_PROBABILITY = 0.15
"""Farthest that a surrogate may be from the model on the picture itself, which is what it is to explain."""
LEAST_SAMPLES_PER_SEGMENT = 5
LARGEST_FACTOR = 1000.0
LEAST_FREEDOM = 0.1
"""Share of the samples' weight that the fit must leave free, for its residuals to tell noise from a curve."""

TRUSTWORTHY = "trustworthy"
NOT_LINEAR = "not linear here"
NOTHING = "nothing to explain: the model's answer hardly moves"
NEEDS_MORE = "needs more samples: about "


@dataclass(frozen=True)
class Explanation:
    """The surrogate of one picture, with what speaks for and against it; all over C classes.

    Attributes
    ----------
    coefficients : (K, C) array
        In probability.
    interval : (K, C, 2) array
    intercept, local_prediction, r2, rmse, effective_samples, topk_repeat : (C,) arrays
        `r2` and `rmse` (in probability) are weighted and cross-fitted.
    verdict : list of C str
    """

    coefficients: Floats
    interval: Floats
    intercept: Floats
    local_prediction: Floats
    r2: Floats
    rmse: Floats
    effective_samples: Floats
    topk_repeat: Floats
    verdict: list[str]


def explain(masks: NDArray[np.bool_], probabilities: NDArray[np.float32], *, fitter: Fitter, kernel_width: float, top: int, seed: int, picture_id: str) -> Explanation:
    """Fit a surrogate to every sample, and judge it on samples that it was not fitted on.

    Parameters
    ----------
    masks : (S, K) bool array
        The first row is the full picture.
    probabilities : (S, C) float32 array
    fitter : callable
        From `surrogate.SURROGATES`.
    kernel_width : float
    top : int
        How many of the strongest segments have to stay the same for `topk_repeat`, as far as they can be told from 0.
    seed : int
    picture_id : str
        With the seed, decides folds and draws.
    """
    z, y = masks.astype(np.float64), probabilities.astype(np.float64)
    weights = surrogate.cosine_weights(masks, kernel_width)
    fit = fitter(z, y, weights)
    held_out = _cross_fitted(z, y, weights, fitter, folds_of(masks, seed, picture_id))
    r2, rmse = _accuracy(y, held_out, weights)
    residuals = y - fit.predict(z)
    errors = surrogate.robust_errors(fit, residuals)
    interval = surrogate.intervals(fit, errors)
    effective = weights.sum() ** 2 / (weights**2).sum()
    spread = np.sqrt(_variance(y, weights))
    limit = _limit_r2(y, residuals, fit, weights, effective)
    repeat = _topk_repeat(fit, errors, distinct(interval, top), mask_design.key_of(seed, picture_id, "draws"), spread >= STILL_PROBABILITY)
    local = fit.predict(np.ones((1, z.shape[1])))[0]
    return Explanation(
        coefficients=fit.coefficients,
        interval=interval,
        intercept=fit.intercept,
        local_prediction=local,
        r2=r2,
        rmse=rmse,
        effective_samples=np.full(y.shape[1], effective),
        topk_repeat=repeat,
        verdict=[
            _verdict(_Figures(spread[c], r2[c], limit[c], _imprecision(fit.coefficients[:, c], interval[:, c], top), repeat[c], abs(local[c] - y[0, c])), len(y), z.shape[1]) for c in range(y.shape[1])
        ],
    )


def folds_of(masks: NDArray[np.bool_], seed: int, picture_id: str) -> NDArray[np.int64]:
    """Return the fold of every sample: (S,) of 0…FOLDS-1.

    A function of seed, picture and the index of the first sample with the same mask: equal masks share a fold, so that none is judged that was fitted.
    """
    _, first, inverse = np.unique(np.packbits(masks, axis=1), axis=0, return_index=True, return_inverse=True)
    words = mask_design.random_words(mask_design.key_of(seed, picture_id, "folds"), 0, len(masks), 1)[:, 0]
    return (words[first[inverse.ravel()]] % FOLDS).astype(np.int64)


def _cross_fitted(z: Floats, y: Floats, weights: Floats, fitter: Fitter, folds: NDArray[np.int64]) -> Floats:
    """Return, for every sample, the value of a surrogate that was fitted without its fold (NaN where that leaves nothing)."""
    held_out = np.full_like(y, np.nan)
    for fold in range(FOLDS):
        out = folds == fold
        if out.any() and not out.all():
            held_out[out] = fitter(z[~out], y[~out], weights[~out]).predict(z[out])
    return held_out


def _variance(y: Floats, weights: Floats) -> Floats:
    level = weights @ y / weights.sum()
    return np.asarray(weights @ (y - level) ** 2 / weights.sum())


def _accuracy(y: Floats, held_out: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return weighted R² (0 where the model does not move at all) and weighted RMSE in probability, on held-out samples."""
    error = weights @ (y - held_out) ** 2 / weights.sum()
    variance = _variance(y, weights)
    moves = variance > np.finfo(np.float32).eps ** 2
    return np.where(moves, 1 - error / np.where(moves, variance, 1.0), 0.0), np.sqrt(error)


def _limit_r2(y: Floats, residuals: Floats, fit: Fit, weights: Floats, effective: float) -> Floats:
    """Return the share of variance that a linear surrogate would explain with samples without end.

    The adjusted R² (Ezekiel 1930): what the fit leaves over, corrected for the freedom that it used. NaN where no freedom is left to tell.
    """
    total = weights.sum()
    freedom = weights @ (1 - np.minimum(fit.leverage, 1.0)) / total
    if freedom < LEAST_FREEDOM:
        return np.full(y.shape[1], np.nan)
    left_over = weights @ residuals**2 / total / freedom
    variance = _variance(y, weights) * effective / (effective - 1)
    return np.where(variance > 0, 1 - left_over / np.where(variance > 0, variance, 1.0), 0.0)


def _imprecision(coefficients: Floats, interval: Floats, top: int) -> float:
    """Return the median half interval of the top segments, as a share of the strongest coefficient."""
    strongest = np.argsort(-np.abs(coefficients))[:top]
    largest = np.abs(coefficients[strongest[0]])
    half = np.median((interval[strongest, 1] - interval[strongest, 0]) / 2)
    return float(half / largest) if largest > 0 else 0.0


def distinct(interval: Floats, top: int) -> NDArray[np.int64]:
    """Return how many of the `top` strongest segments can be told from 0, at least one: only their order means anything. (C,) int.

    The intervals are widened so that all K together hold with 95 % (Bonferroni): among 60 segments that do nothing, 3 would pass one by one.

    Parameters
    ----------
    interval : (K, C, 2) array
    top : int
    """
    middle, half = interval.mean(axis=-1), (interval[..., 1] - interval[..., 0]) / 2
    together = NormalDist().inv_cdf(1 - ERROR_SHARE / 2 / len(interval)) / surrogate.NORMAL_95
    sure = (np.abs(middle) > together * half).sum(axis=0)
    return np.asarray(np.clip(sure, 1, min(top, len(interval))))


def _topk_repeat(fit: Fit, errors: Floats, tops: NDArray[np.int64], key: int, moves: NDArray[np.bool_]) -> Floats:
    """Return the chance that another run's strongest segments would be the same set, per class; NaN where the model does not move.

    A wild bootstrap (Wu, Annals of Statistics 14, 1986): each draw flips the signs of the robust errors at random and carries them through the fit.
    """
    n_samples, n_classes = errors.shape
    signs = (mask_design.random_words(key, 0, DRAWS, n_samples) & 1).astype(np.float64) * 2 - 1
    repeated = np.full(n_classes, np.nan)
    for c in np.flatnonzero(moves):
        drawn = fit.coefficients[:, c] + (signs * errors[:, c]) @ fit.influence
        same = _strongest(drawn, tops[c]) == _strongest(fit.coefficients[None, :, c], tops[c])
        repeated[c] = same.all(axis=1).mean()
    return repeated


def _strongest(coefficients: Floats, top: np.int64) -> NDArray[np.int64]:
    """Return the `top` strongest segments of each row, in the order of their numbers."""
    return np.sort(np.argsort(-np.abs(coefficients), axis=1, kind="stable")[:, :top], axis=1)


@dataclass(frozen=True)
class _Figures:
    """What a verdict is made from, for one class."""

    spread: float
    r2: float
    limit: float
    imprecision: float
    repeat: float
    full_picture_error: float


def _verdict(found: _Figures, n_samples: int, n_segments: int) -> str:
    """Say in words what the figures mean; the thresholds are this module's constants."""
    if found.spread < STILL_PROBABILITY:
        return NOTHING
    if np.isnan(found.limit):
        return NEEDS_MORE + _about(LEAST_SAMPLES_PER_SEGMENT * n_segments)
    if found.limit < FAITHFUL_R2:
        return NOT_LINEAR
    enough = found.r2 >= FAITHFUL_R2 and found.imprecision <= PRECISE_SHARE and (found.repeat >= LEAST_REPEAT or found.r2 >= CLEAR_R2)
    if enough:
        return TRUSTWORTHY if found.full_picture_error <= FULL_PICTURE_PROBABILITY else NOT_LINEAR
    factor = max((found.imprecision / PRECISE_SHARE) ** 2, LEAST_SAMPLES_PER_SEGMENT * n_segments / n_samples, 1.5)
    return NEEDS_MORE + _about(n_samples * min(factor, LARGEST_FACTOR))


def _about(count: float) -> str:
    """Return a count with two significant digits, such as 2,400."""
    return f"{float(f'{count:.2g}'):,.0f}"
