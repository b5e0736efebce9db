"""What the figures of an explanation mean, in words; the thresholds are explained in docs/numbers.md."""

from __future__ import annotations

import math
from dataclasses import dataclass

STILL_PROBABILITY = 0.005
"""Weighted standard deviation of the model's probability below which nothing is left to explain.

Half a probability point.
"""
FAITHFUL_R2 = 0.5
"""A surrogate that explains less than half of the variance does not describe the model."""
PRECISE_SHARE = 0.5
"""Largest half interval of a top segment, as a share of the strongest coefficient."""
LEAST_REPEAT = 0.5
"""Least chance that another run's strongest segments are the same set."""
CLEAR_R2 = 0.9
"""A surrogate this close describes the model.

If its strongest segments change places, they are equal; if it has no interval, it needs none.
"""
FULL_PICTURE_PROBABILITY = 0.15
"""Farthest that a surrogate may be from the model on the picture itself, which is what it is to explain."""
LEAST_SAMPLES_PER_SEGMENT = 5
"""How many samples are asked for where there are too few to say more."""
LEAST_EFFECTIVE_PER_SEGMENT = 2
"""Effective samples per segment below which chance decides too much for any verdict."""
LEAST_FACTOR, LARGEST_FACTOR = 1.5, 1000.0
"""How many times the samples are asked for, at least and at most."""

LEAST_EFFECTIVE_SHARE = 0.02
"""Share of the samples that must count, as the effective number says; lime's weights leave 90 %."""

TRUSTWORTHY = "trustworthy"
NOT_LINEAR = "not linear here"
NOTHING = "nothing to explain: the model's answer hardly moves"
NEEDS_MORE = "needs more samples: about "
TOO_SPARSE = "too sparse: the model answers to more segments than this surrogate keeps"
TOO_NARROW = "too narrow a kernel: hardly any sample counts; use a larger --kernel-width"
NO_INTERVAL = "no interval to judge by: use --intervals bootstrap"


@dataclass(frozen=True)
class Figures:
    """What a verdict is made from, for one class.

    Attributes
    ----------
    effective_samples : float
    spread : float
        Weighted standard deviation of the model's probability.
    r2 : float
        On samples that were not fitted.
    linear_limit : float
        What a linear surrogate with every segment would explain with samples without end; NaN where the samples cannot
        tell.
    limit : float
        What this surrogate would.
    imprecision, repeat : float
        Half interval of the top segments as a share of the strongest coefficient, and the chance that their set
        repeats; NaN where there is no interval.
    full_picture_error : float
    n_samples, n_segments : int
    complete : bool
        All masks there are were used, so that nothing is left to chance.
    """

    effective_samples: float
    spread: float
    r2: float
    linear_limit: float
    limit: float
    imprecision: float
    repeat: float
    full_picture_error: float
    n_samples: int
    n_segments: int
    complete: bool


def verdict(found: Figures) -> str:
    """Say in words what the figures mean: the first rule that holds."""
    chance, least = not found.complete, LEAST_EFFECTIVE_PER_SEGMENT * found.n_segments
    few = NEEDS_MORE + _about(
        max(LEAST_SAMPLES_PER_SEGMENT * found.n_segments, found.n_samples * least / max(found.effective_samples, 1.0))
    )
    rules = (
        (chance and 0 < found.effective_samples < LEAST_EFFECTIVE_SHARE * found.n_samples, TOO_NARROW),
        (chance and found.effective_samples < least, few),
        (found.spread < STILL_PROBABILITY, NOTHING),
        (math.isnan(found.linear_limit), few),
        (found.linear_limit < FAITHFUL_R2, NOT_LINEAR),
        (found.limit < FAITHFUL_R2, TOO_SPARSE),
        (chance and not found.r2 >= FAITHFUL_R2, _more(found)),
        (chance and math.isnan(found.imprecision) and found.r2 < CLEAR_R2, NO_INTERVAL),
        (chance and found.imprecision > PRECISE_SHARE, _more(found)),
        (chance and found.repeat < LEAST_REPEAT and found.r2 < CLEAR_R2, _more(found)),
        (found.full_picture_error > FULL_PICTURE_PROBABILITY, NOT_LINEAR),
    )
    return next((words for holds, words in rules if holds), TRUSTWORTHY)


def _more(found: Figures) -> str:
    """Ask for as many samples as intervals need to become precise: their width shrinks with the root of the number."""
    precision = 0.0 if math.isnan(found.imprecision) else (found.imprecision / PRECISE_SHARE) ** 2
    factor = max(precision, LEAST_SAMPLES_PER_SEGMENT * found.n_segments / found.n_samples, LEAST_FACTOR)
    return NEEDS_MORE + _about(found.n_samples * min(factor, LARGEST_FACTOR))


def _about(count: float) -> str:
    """Return a count with two significant digits, such as 2,400."""
    return f"{float(f'{count:.2g}'):,.0f}"
