"""What the figures of an explanation mean, in words; the thresholds are explained in docs/numbers.md."""

from __future__ import annotations

import math
from dataclasses import dataclass

STILL_PROBABILITY = 0.005
"""Weighted standard deviation of the model's probability below which there is nothing to explain."""
FAITHFUL_R2 = 0.5
"""A surrogate that explains less than half of the variance does not describe the model."""
PRECISE_SHARE = 0.5
"""Largest half interval of a top segment, as a share of the strongest coefficient."""
LEAST_REPEAT = 0.5
"""Least chance that another run's strongest segments are the same set."""
CLEAR_R2 = 0.9
"""A surrogate this close describes the model.

If its strongest segments change places, they are equal. If it has no interval, it needs none.
"""
FULL_PICTURE_PROBABILITY = 0.15
"""Largest error of a surrogate on the picture itself, which it is meant to explain, in probability."""
LEAST_SAMPLES_PER_SEGMENT = 5
"""Samples per segment that a verdict asks for, where there are too few to say more."""
LEAST_EFFECTIVE_PER_SEGMENT = 2
"""Effective samples per segment below which chance decides too much for any verdict."""
LEAST_FACTOR, LARGEST_FACTOR = 1.5, 1000.0
"""Least and largest multiple of the samples that a verdict asks for."""

LEAST_EFFECTIVE_SHARE = 0.02
"""Least share of effective samples among all; lime's weights leave 90 %."""

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
        How many samples of equal weight would tell as much.
    spread : float
        Weighted standard deviation of the model's probability.
    r2 : float
        On samples that were not fitted.
    linear_limit : float
        R² of a linear surrogate with every segment, if there were samples without end.
        NaN where the samples cannot tell.
    limit : float
        The same of this surrogate.
    imprecision : float
        Half interval of the top segments, as a share of the strongest coefficient. NaN where there is no interval.
    repeat : float
        Chance that the set of the top segments repeats. NaN where there is no interval.
    full_picture_error : float
        Distance of the surrogate from the model on the picture itself, in probability.
    n_samples, n_segments : int
    complete : bool
        Whether all masks there are were used, so that nothing is left to chance.
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
    """Say in words what the figures mean: the first rule that holds.

    Parameters
    ----------
    found : Figures

    Returns
    -------
    str
        One of the sentences above; a sentence that asks for samples ends with their number.

    Notes
    -----
    The rules and their thresholds are this program's own; docs/numbers.md gives the evidence for each.

    Examples
    --------
    >>> good = Figures(900.0, 0.1, 0.95, 0.97, 0.96, 0.2, 0.9, 0.01, n_samples=1000, n_segments=20, complete=False)
    >>> verdict(good)
    'trustworthy'
    """
    chance = not found.complete
    least = LEAST_EFFECTIVE_PER_SEGMENT * found.n_segments
    few = _too_few(found, least)
    narrow = 0 < found.effective_samples < LEAST_EFFECTIVE_SHARE * found.n_samples
    # "not >=" is meant: an R² that is NaN asks for samples too.
    unfaithful = not found.r2 >= FAITHFUL_R2
    unclear = found.r2 < CLEAR_R2
    # The order is the message: whoever has too few samples learns nothing from any later figure.
    rules = (
        (chance and narrow, TOO_NARROW),
        (chance and found.effective_samples < least, few),
        (found.spread < STILL_PROBABILITY, NOTHING),
        (math.isnan(found.linear_limit), few),
        (found.linear_limit < FAITHFUL_R2, NOT_LINEAR),
        (found.limit < FAITHFUL_R2, TOO_SPARSE),
        (chance and unfaithful, _more(found)),
        (chance and unclear and math.isnan(found.imprecision), NO_INTERVAL),
        (chance and found.imprecision > PRECISE_SHARE, _more(found)),
        (chance and unclear and found.repeat < LEAST_REPEAT, _more(found)),
        (found.full_picture_error > FULL_PICTURE_PROBABILITY, NOT_LINEAR),
    )
    return next((words for holds, words in rules if holds), TRUSTWORTHY)


def _too_few(found: Figures, least: int) -> str:
    """Ask for as many samples as leave at least `least` effective ones."""
    # The effective number grows as the samples do. Without any, one is assumed, since nothing can be divided by 0.
    effective = max(found.effective_samples, 1.0)
    wanted = max(LEAST_SAMPLES_PER_SEGMENT * found.n_segments, found.n_samples * least / effective)
    return NEEDS_MORE + _about(wanted)


def _more(found: Figures) -> str:
    """Ask for as many samples as intervals need to become precise."""
    precision = 0.0
    if not math.isnan(found.imprecision):
        # The width of an interval shrinks with the root of the number of samples.
        precision = (found.imprecision / PRECISE_SHARE) ** 2
    enough = LEAST_SAMPLES_PER_SEGMENT * found.n_segments / found.n_samples
    factor = max(precision, enough, LEAST_FACTOR)
    return NEEDS_MORE + _about(found.n_samples * min(factor, LARGEST_FACTOR))


def _about(count: float) -> str:
    """Return a count with two significant digits, such as 2,400."""
    return f"{float(f'{count:.2g}'):,.0f}"
