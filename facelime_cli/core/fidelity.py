"""How far a surrogate can be trusted: figures from samples that it was not fitted on, and a verdict in words.

Notation: S samples, K segments, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import intervals
from facelime_cli.core import masks as mask_design
from facelime_cli.core.folds import FOLDS, folds_of
from facelime_cli.core.verdict import STILL_PROBABILITY, Figures, before_check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelime_cli.core.intervals import Sample, Uncertainty
    from facelime_cli.core.linear import Fit, Fitter, Floats

    Bools = NDArray[np.bool_]
    Integers = NDArray[np.int64]

ERROR_SHARE = 1 - intervals.CONFIDENCE
LEAST_FREEDOM = 0.1
"""Share of the samples' weight that the fit must leave free, for its residuals to tell noise from a curve."""
LEAST_RANGE = 0.02
"""Least range of values, as a share of their size: with it, a value moves from a spread of 0.01 % of its size on."""
LEAST_STEP = np.finfo(np.float32).eps
"""Standard deviation up to which a model does not move: the rounding of a float32 probability."""


@dataclass(frozen=True)
class Explanation:
    """The surrogate of one picture, with what speaks for and against it.

    Attributes
    ----------
    coefficients : (K, C) float64 array
        In probability.
    interval : (K, C, 2) float64 array
        95 %, in probability. NaN where there is none.
    p_sign : (K, C) float64 array
        Chance that a coefficient's sign is the same again, NaN where it is not known.
    intercept : (C,) float64 array
        In probability.
    local_prediction : (C,) float64 array
        The surrogate's probability for the full picture.
    r2 : (C,) float64 array
        Weighted and cross-fitted: never above 1, below 0 where the surrogate is worse than a constant.
    rmse : (C,) float64 array
        Weighted and cross-fitted, in probability.
    effective_samples : (C,) float64 array
        How many samples of equal weight would tell as much.
    topk_repeat : (C,) float64 array
        Chance that another run's strongest segments are the same set, NaN where it is not known.
    verdict : list of C str
        In words.
    """

    coefficients: Floats
    interval: Floats
    p_sign: Floats
    intercept: Floats
    local_prediction: Floats
    r2: Floats
    rmse: Floats
    effective_samples: Floats
    topk_repeat: Floats
    verdict: list[str]


@dataclass(frozen=True)
class Method:
    """How a picture is explained.

    Attributes
    ----------
    fitter : callable
        From `surrogate.fitter`.
    intervals : str
        A key of `intervals.INTERVALS`.
    top : int
        How many of the strongest segments have to stay the same for `topk_repeat`, as far as they differ from 0.
    seed : int
        With the picture's id, decides folds and draws.
    """

    fitter: Fitter
    intervals: str
    top: int
    seed: int


def explain(
    masks: Bools,
    probabilities: NDArray[np.floating[Any]],
    weights: Floats,
    blocks: NDArray[np.int32],
    method: Method,
    picture_id: str,
) -> Explanation:
    """Fit a surrogate to every sample, and judge it on samples that it was not fitted on.

    Parameters
    ----------
    masks : (S, K) bool array
        The first row is the full picture.
    probabilities : (S, C) float array
        The model's answers.
    weights : (S,) float64 array
        Proximity of each sample. One of weight 0 is never judged: it is a condition, or too far away.
    blocks : (S,) int32 array
        From `masks.blocks`.
    method : Method
        Surrogate, kind of intervals, number of strongest segments, seed.
    picture_id : str
        With the seed, decides folds and draws.

    Returns
    -------
    Explanation

    Notes
    -----
    The coefficients use every sample, the figures do not. With as many segments as samples, an in-sample R² is near
    0.8 for pure noise. Each figure is explained in docs/numbers.md.
    """
    n_segments = masks.shape[1]
    units = intervals.units_of(masks, blocks)
    # In float64: the probabilities of a model that hardly moves differ by less than float32 can square and sum.
    kept = masks.astype(np.float64)
    answers = probabilities.astype(np.float64)
    sample = intervals.Sample(kept, answers, weights, units)
    fit = method.fitter(sample.masks, sample.probabilities, weights)
    complete = _complete(masks)
    # With every mask there is, nothing was drawn: another run finds the same to the bit.
    found = intervals.certain(fit) if complete else _uncertainty(fit, sample, method, picture_id)
    folds = folds_of(masks, blocks, method.seed, picture_id)
    held_out = _cross_fitted(sample, method.fitter, folds)
    r2, rmse = _accuracy(sample, held_out)
    spread = np.sqrt(_variance(sample))
    # Only as many as differ from 0: the order of the others is chance, and would make every explanation look unstable.
    tops = distinct(found.interval, method.top)
    repeat = _topk_repeat(fit, found, tops, spread >= STILL_PROBABILITY)
    full_picture = np.ones((1, n_segments))
    local = fit.predict(full_picture)[0]
    by_class = {
        "spread": spread,
        "r2": r2,
        "limit": _limit(fit, sample),
        "imprecision": imprecision(fit.coefficients, found.interval, method.top),
        "repeat": repeat,
    }
    return Explanation(
        coefficients=fit.coefficients,
        interval=found.interval,
        p_sign=found.p_sign,
        intercept=fit.intercept,
        local_prediction=local,
        r2=r2,
        rmse=rmse,
        effective_samples=np.full(len(r2), intervals.effective(weights)),
        topk_repeat=repeat,
        verdict=_verdicts(sample, by_class, complete=complete),
    )


def explain_values(
    masks: Bools,
    values: NDArray[np.float32],
    weights: Floats,
    blocks: NDArray[np.int32],
    method: Method,
    picture_id: str,
) -> Explanation:
    """Fit a surrogate to a model's values, such as an age: as `explain`, in the unit of the values.

    Parameters
    ----------
    masks, weights, blocks, method, picture_id
        As `explain` takes them.
    values : (S, C) float32 array
        The model's answers.

    Returns
    -------
    Explanation

    Notes
    -----
    Penalties and thresholds of `explain` are made for answers between 0 and 1. So it gets the values as shares of their
    range, and what it finds is turned back into the unit. A range below 2 % of the values themselves counts as 2 %.
    """
    scale = scale_of(values)
    found = explain(masks, values / scale, weights, blocks, method, picture_id)
    return replace(
        found,
        coefficients=found.coefficients * scale,
        interval=found.interval * scale[:, None],
        intercept=found.intercept * scale,
        local_prediction=found.local_prediction * scale,
        rmse=found.rmse * scale,
    )


def scale_of(values: NDArray[np.floating[Any]]) -> Floats:
    """Return what counts as the range of some values.

    Parameters
    ----------
    values : (S, C) float array

    Returns
    -------
    (C,) float64 array
        Largest minus smallest, at least 2 % of the largest in size, and 1 where all are 0.

    Examples
    --------
    >>> scale_of(np.array([[10.0, 0.0], [30.0, 0.0]])).tolist()
    [20.0, 1.0]
    >>> scale_of(np.array([[100.0], [100.0]])).tolist()
    [2.0]
    """
    exact = values.astype(np.float64)
    least = LEAST_RANGE * np.abs(exact).max(axis=0)
    scale = np.maximum(np.ptp(exact, axis=0), least)
    return np.where(scale > 0, scale, 1.0)


def _complete(masks: Bools) -> bool:
    """Whether each mask that a picture can have is there once."""
    n_samples, n_segments = masks.shape
    # First by the number of digits: 2^K itself has thousands of them for a picture of many segments.
    if n_samples.bit_length() != n_segments + 1:
        return False
    packed = np.packbits(masks, axis=1)
    n_different = intervals.numbered(packed).max() + 1
    return bool(n_samples == n_different == 1 << n_segments)


def _uncertainty(fit: Fit, sample: Sample, method: Method, picture_id: str) -> Uncertainty:
    estimate = intervals.INTERVALS[method.intervals]
    key = mask_design.key_of(method.seed, picture_id, "draws")
    return estimate(fit, sample, method.fitter, key)


def _verdicts(sample: Sample, by_class: dict[str, Floats], *, complete: bool) -> list[str]:
    """Return one verdict a class, from figures of which each has C values."""
    n_samples, n_segments = sample.masks.shape
    effective = intervals.effective(sample.weights)
    verdicts = []
    for c in range(sample.probabilities.shape[1]):
        of_class = {name: values[c] for name, values in by_class.items()}
        figures = Figures(
            effective_samples=effective,
            n_samples=n_samples,
            n_segments=n_segments,
            complete=complete,
            **of_class,
        )
        verdicts.append(before_check(figures))
    return verdicts


def _cross_fitted(sample: Sample, fitter: Fitter, folds: Integers) -> Floats:
    """Return, for every sample, the value of a surrogate that was fitted without its fold: (S, C).

    NaN where that leaves nothing to fit. Rows of weight 0 are in every fit: for Shapley values they are conditions.
    """
    judged = sample.weights > 0
    held_out = np.where(judged[:, None], np.nan, sample.probabilities)
    for fold in range(FOLDS):
        out = (folds == fold) & judged
        if not out.any() or not (judged & ~out).any():
            continue
        fitted = ~out
        fit = fitter(sample.masks[fitted], sample.probabilities[fitted], sample.weights[fitted])
        held_out[out] = fit.predict(sample.masks[out])
    return held_out


def _variance(sample: Sample) -> Floats:
    """Return the weighted variance of the model's probabilities: (C,)."""
    deviation = sample.probabilities - _mean(sample.probabilities, sample)
    return _mean(deviation**2, sample)


def _mean(values: Floats, sample: Sample) -> Floats:
    """Return the weighted mean over the samples; 0 where none has a weight."""
    total = sample.weights.sum() or 1.0
    return np.asarray(sample.weights @ values / total)


def _share_explained(error: Floats, variance: Floats, moves: Bools) -> Floats:
    """Return 1 - error / variance, 0 where the model does not move: (C,)."""
    divisor = np.where(moves, variance, 1.0)
    return np.where(moves, 1 - error / divisor, 0.0)


def _accuracy(sample: Sample, held_out: Floats) -> tuple[Floats, Floats]:
    """Return weighted R² and weighted RMSE in probability, on held-out samples: both (C,).

    R² is 0 where the model does not move at all.
    """
    residuals = sample.probabilities - held_out
    error = _mean(residuals**2, sample)
    variance = _variance(sample)
    moves = variance > LEAST_STEP**2
    return _share_explained(error, variance, moves), np.sqrt(error)


def _limit(fit: Fit, sample: Sample) -> Floats:
    """Return the share of variance that this surrogate would explain with samples without end: (C,)."""
    if fit.smoother is not None:
        # What a sample does to its own fitted value is what the fit used up of it.
        used = np.minimum(fit.smoother.leverage, 1.0)
        return _adjusted_r2(fit, sample, _mean(1 - used, sample))
    # A selection is not linear in y and has no leverage: it is charged for the segments it kept, and the intercept.
    kept = (fit.coefficients != 0).sum(axis=0)
    return _adjusted_r2(fit, sample, 1 - (kept + 1) / intervals.effective(sample.weights))


def _adjusted_r2(fit: Fit, sample: Sample, freedom: Floats) -> Floats:
    """Return the adjusted R² (Ezekiel 1930): what the fit leaves over, corrected for the freedom that it used.

    NaN where no freedom is left to tell.
    """
    if np.min(freedom) < LEAST_FREEDOM:
        n_classes = sample.probabilities.shape[1]
        return np.full(n_classes, np.nan)
    effective = intervals.effective(sample.weights)
    residuals = sample.probabilities - fit.predict(sample.masks)
    left_over = _mean(residuals**2, sample) / freedom
    # Both are corrected alike, the model's own variance for its mean.
    variance = _variance(sample) * effective / (effective - 1)
    return _share_explained(left_over, variance, variance > 0)


def imprecision(coefficients: Floats, interval: Floats, top: int) -> Floats:
    """Return the median half interval of the top segments, as a share of the strongest coefficient.

    Parameters
    ----------
    coefficients : (K, C) float64 array
    interval : (K, C, 2) float64 array
        95 % each.
    top : int
        How many of the strongest segments to look at.

    Returns
    -------
    (C,) float64 array
        0 where nothing speaks, NaN where there is no interval.
    """
    sizes = np.abs(coefficients)
    order = np.argsort(-sizes, axis=0)[:top]
    width = interval[..., 1] - interval[..., 0]
    half = np.take_along_axis(width / 2, order, axis=0)
    largest = sizes.max(axis=0)
    # Divided by infinity where nothing speaks: a model that does not move is precise, not undefined.
    return np.asarray(np.median(half, axis=0) / np.where(largest > 0, largest, np.inf))


def distinct(interval: Floats, top: int) -> Integers:
    """Return how many of the `top` strongest segments can be told from 0, at least one.

    Only their order means anything.

    Parameters
    ----------
    interval : (K, C, 2) float64 array
        95 % each, of K coefficients.
    top : int
        How many segments to count at most.

    Returns
    -------
    (C,) int64 array
        From 1 to `top`, or K where that is less.

    Notes
    -----
    The intervals are widened so that all K together hold with 95 % (Bonferroni). Among 60 segments that do nothing,
    3 would pass one by one.

    Examples
    --------
    >>> clear, faint = [0.2, 0.3], [-0.1, 0.2]
    >>> distinct(np.array([[clear], [faint], [clear]]), 3).tolist()
    [2]
    """
    n_segments = len(interval)
    low = interval[..., 0]
    high = interval[..., 1]
    middle = interval.mean(axis=-1)
    half = (high - low) / 2
    normal = NormalDist()
    of_all = normal.inv_cdf(1 - ERROR_SHARE / 2 / n_segments)
    of_one = normal.inv_cdf(1 - ERROR_SHARE / 2)
    together = of_all / of_one
    sure = np.abs(middle) > together * half
    n_sure = sure.sum(axis=0)
    return np.asarray(np.clip(n_sure, 1, min(top, n_segments)))


def _topk_repeat(fit: Fit, found: Uncertainty, tops: Integers, moves: Bools) -> Floats:
    """Return the chance that another run's strongest segments would be the same set: (C,).

    NaN where the model does not move, no segment has a coefficient, or no draws are there.
    """
    repeated = np.full(len(tops), np.nan)
    if found.draws is None:
        return repeated
    explained = moves & fit.coefficients.any(axis=0)
    for c in np.flatnonzero(explained):
        repeated[c] = repeats(fit.coefficients[:, c], found.draws(int(c)), int(tops[c]))
    return repeated


def repeats(coefficients: Floats, drawn: Floats, top: int) -> float:
    """Return the chance that another run's strongest segments would be the same set.

    Parameters
    ----------
    coefficients : (K,) float64 array
    drawn : (D, K) float64 array
        What other runs might find.
    top : int
        Size of the set.

    Returns
    -------
    float
    """
    order = np.argsort(-np.abs(coefficients), kind="stable")
    inside = np.zeros(len(coefficients), np.bool_)
    inside[order[:top]] = True
    sizes = np.abs(drawn)
    # The set is the same when its weakest member beats the strongest of the others, in whatever order they are.
    weakest_inside = sizes[:, inside].min(axis=1)
    strongest_outside = sizes[:, ~inside].max(axis=1, initial=0.0)
    return float((weakest_inside >= strongest_outside).mean())
