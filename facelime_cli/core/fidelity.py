"""How far a surrogate can be trusted: figures from samples that it was not fitted on, and a verdict in words."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core import intervals
from facelime_cli.core import masks as mask_design
from facelime_cli.core.folds import FOLDS, folds_of
from facelime_cli.core.linear import ridge
from facelime_cli.core.verdict import STILL_PROBABILITY, Figures, verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelime_cli.core.intervals import Sample, Uncertainty
    from facelime_cli.core.linear import Fit, Fitter, Floats

ERROR_SHARE = 1 - intervals.CONFIDENCE
LEAST_FREEDOM = 0.1
"""Share of the samples' weight that the fit must leave free, for its residuals to tell noise from a curve."""
REFERENCE_PENALTY = 1.0
"""Of the ridge regression that tells whether a model is linear at all, beside surrogates that leave segments out."""


@dataclass(frozen=True)
class Explanation:
    """The surrogate of one picture, with what speaks for and against it; all over C classes.

    Attributes
    ----------
    coefficients : (K, C) array
        In probability.
    interval : (K, C, 2) array
        95 %, NaN where there is none.
    p_sign : (K, C) array
        Chance that a coefficient's sign is the same again, NaN where it is not known.
    intercept, local_prediction, r2, rmse, effective_samples, topk_repeat : (C,) arrays
        `r2` and `rmse` (in probability) are weighted and cross-fitted.
    verdict : list of C str
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
        How many of the strongest segments have to stay the same for `topk_repeat`, as far as they can be told from 0.
    seed : int
        With the picture's id, decides folds and draws.
    """

    fitter: Fitter
    intervals: str
    top: int
    seed: int


def explain(
    masks: NDArray[np.bool_],
    probabilities: NDArray[np.float32],
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
    probabilities : (S, C) float32 array
    weights : (S,) float64 array
        Proximity of each sample. One of weight 0 is never judged: it is a condition, or too far away.
    blocks : (S,) int32 array
        From `masks.blocks`.
    method : Method
    picture_id : str
    """
    sample = intervals.Sample(
        masks.astype(np.float64), probabilities.astype(np.float64), weights, intervals.units_of(masks, blocks)
    )
    fit = method.fitter(sample.masks, sample.probabilities, weights)
    complete = _complete(masks)
    found = (
        intervals.certain(fit)
        if complete
        else intervals.INTERVALS[method.intervals](
            fit, sample, method.fitter, mask_design.key_of(method.seed, picture_id, "draws")
        )
    )
    r2, rmse = _accuracy(sample, _cross_fitted(sample, method.fitter, folds_of(masks, blocks, method.seed, picture_id)))
    spread = np.sqrt(_variance(sample))
    repeat = _topk_repeat(fit, found, distinct(found.interval, method.top), spread >= STILL_PROBABILITY)
    local = fit.predict(np.ones((1, masks.shape[1])))[0]
    limit, linear_limit = _limits(fit, sample)
    effective = intervals.effective(weights)
    figures = {
        "spread": spread,
        "r2": r2,
        "limit": limit,
        "linear_limit": linear_limit,
        "imprecision": _imprecision(fit, found, method.top),
        "repeat": repeat,
        "full_picture_error": np.abs(local - sample.probabilities[0]),
    }
    common = {
        "effective_samples": effective,
        "n_samples": len(masks),
        "n_segments": masks.shape[1],
        "complete": complete,
    }
    verdicts = [
        verdict(Figures(**common, **{name: values[c] for name, values in figures.items()})) for c in range(len(r2))
    ]
    return Explanation(
        fit.coefficients,
        found.interval,
        found.p_sign,
        fit.intercept,
        local,
        r2,
        rmse,
        np.full(len(r2), effective),
        repeat,
        verdicts,
    )


def _complete(masks: NDArray[np.bool_]) -> bool:
    """Whether each mask that a picture can have is there once."""
    n_samples, n_segments = masks.shape
    return n_samples.bit_length() == n_segments + 1 and bool(
        n_samples == intervals.numbered(np.packbits(masks, axis=1)).max() + 1 == 1 << n_segments
    )


def _cross_fitted(sample: Sample, fitter: Fitter, folds: NDArray[np.int64]) -> Floats:
    """Return, for every sample, the value of a surrogate that was fitted without its fold (NaN where that leaves nothing); rows of weight 0 are in every fit."""
    judged = sample.weights > 0
    held_out = np.where(judged[:, None], np.nan, sample.probabilities)
    for fold in range(FOLDS):
        out = (folds == fold) & judged
        if out.any() and (judged & ~out).any():
            held_out[out] = fitter(sample.masks[~out], sample.probabilities[~out], sample.weights[~out]).predict(
                sample.masks[out]
            )
    return held_out


def _variance(sample: Sample) -> Floats:
    return _mean((sample.probabilities - _mean(sample.probabilities, sample)) ** 2, sample)


def _mean(values: Floats, sample: Sample) -> Floats:
    """Return the weighted mean over the samples; 0 where none has a weight."""
    return np.asarray(sample.weights @ values / (sample.weights.sum() or 1.0))


def _accuracy(sample: Sample, held_out: Floats) -> tuple[Floats, Floats]:
    """Return weighted R² (0 where the model does not move at all) and weighted RMSE in probability, on held-out samples."""
    error = _mean((sample.probabilities - held_out) ** 2, sample)
    variance = _variance(sample)
    moves = variance > np.finfo(np.float32).eps ** 2
    return np.where(moves, 1 - error / np.where(moves, variance, 1.0), 0.0), np.sqrt(error)


def _limits(fit: Fit, sample: Sample) -> tuple[Floats, Floats]:
    """Return the share of variance that this surrogate would explain with samples without end, and that a linear one with every segment would: both (C,)."""
    if fit.smoother is not None:
        limit = _adjusted_r2(fit, sample, _mean(1 - np.minimum(fit.smoother.leverage, 1.0), sample))
        return limit, limit
    kept = (fit.coefficients != 0).sum(axis=0)
    reference = ridge(sample.masks, sample.probabilities, sample.weights, alpha=REFERENCE_PENALTY)
    return _adjusted_r2(fit, sample, 1 - (kept + 1) / intervals.effective(sample.weights)), _limits(reference, sample)[
        1
    ]


def _adjusted_r2(fit: Fit, sample: Sample, freedom: Floats) -> Floats:
    """Return the adjusted R² (Ezekiel 1930): what the fit leaves over, corrected for the freedom that it used. NaN where no freedom is left to tell."""
    if np.min(freedom) < LEAST_FREEDOM:
        return np.full(sample.probabilities.shape[1], np.nan)
    effective = intervals.effective(sample.weights)
    left_over = _mean((sample.probabilities - fit.predict(sample.masks)) ** 2, sample) / freedom
    variance = _variance(sample) * effective / (effective - 1)
    return np.where(variance > 0, 1 - left_over / np.where(variance > 0, variance, 1.0), 0.0)


def _imprecision(fit: Fit, found: Uncertainty, top: int) -> Floats:
    """Return the median half interval of the top segments, as a share of the strongest coefficient: (C,)."""
    order = np.argsort(-np.abs(fit.coefficients), axis=0)[:top]
    half = np.take_along_axis((found.interval[..., 1] - found.interval[..., 0]) / 2, order, axis=0)
    largest = np.abs(fit.coefficients).max(axis=0)
    return np.median(half, axis=0) / np.where(largest > 0, largest, np.inf)


def distinct(interval: Floats, top: int) -> NDArray[np.int64]:
    """Return how many of the `top` strongest segments can be told from 0, at least one: only their order means anything. (C,) int.

    The intervals are widened so that all K together hold with 95 % (Bonferroni): among 60 segments that do nothing, 3 would pass one by one.

    Parameters
    ----------
    interval : (K, C, 2) array
    top : int
    """
    middle, half = interval.mean(axis=-1), (interval[..., 1] - interval[..., 0]) / 2
    normal = NormalDist()
    together = normal.inv_cdf(1 - ERROR_SHARE / 2 / len(interval)) / normal.inv_cdf(1 - ERROR_SHARE / 2)
    sure = (np.abs(middle) > together * half).sum(axis=0)
    return np.asarray(np.clip(sure, 1, min(top, len(interval))))


def _topk_repeat(fit: Fit, found: Uncertainty, tops: NDArray[np.int64], moves: NDArray[np.bool_]) -> Floats:
    """Return the chance that another run's strongest segments would be the same set, per class; NaN where the model does not move, no segment has a coefficient, or no draws are there."""
    repeated = np.full(len(tops), np.nan)
    if found.draws is None:
        return repeated
    for c in np.flatnonzero(moves & fit.coefficients.any(axis=0)):
        inside = np.zeros(len(fit.coefficients), np.bool_)
        inside[np.argsort(-np.abs(fit.coefficients[:, c]), kind="stable")[: tops[c]]] = True
        drawn = np.abs(found.draws(int(c)))
        repeated[c] = (drawn[:, inside].min(axis=1) >= drawn[:, ~inside].max(axis=1, initial=0.0)).mean()
    return repeated
