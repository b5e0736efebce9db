"""What the figures of an explanation mean, in words; docs/numbers.md gives the evidence for each rule.

An explanation has a word before the model is asked (`before_check`) and another one after it (`after_check`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.metrics import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STILL_PROBABILITY = 0.005
"""Weighted standard deviation of the model's probability below which there is nothing to explain."""
PRECISE_SHARE = 0.5
"""Largest half interval of a top segment, as a share of the strongest coefficient."""
LEAST_REPEAT = 0.5
"""Least chance that another run's strongest segments are the same set."""
CLEAR_R2 = 0.9
"""A surrogate this close has strongest segments that change places only where they are equal."""
ALONE_R2 = 0.5
"""From this R² on the regions act mostly alone: their effects add up."""
LEAST_SAMPLES_PER_SEGMENT = 5
"""Samples per segment that a verdict asks for, where there are too few to say more."""
LEAST_EFFECTIVE_PER_SEGMENT = 2
"""Effective samples per segment below which chance decides too much for any verdict."""
LEAST_FACTOR, LARGEST_FACTOR = 1.5, 1000.0
"""Least and largest multiple of the samples that a verdict asks for."""
LEAST_EFFECTIVE_SHARE = 0.02
"""Least share of effective samples among all; lime's weights leave 90 %."""
SIGNIFICANT = 0.05
"""Largest p value with which the model confirms an explanation under one fill."""
LEAST_EFFECT = 0.1
"""Least effect, in log-odds, with which it does."""
FILLS_OF_STRONG, FILLS_OF_FAIR = 4, 2
"""Under how many fills the model has to confirm the strongest regions. Where there are three, all are strong."""
FEWEST_OF_STRONG = 3
"""With fewer fills, no explanation is strong."""
LEAST_SHARE = 0.05
"""Least effect on a value, as a share of the range of everything that a check asked."""
STILL_SHARE = 1e-4
"""Range of everything that a check asked, as a share of the value's size, below which a value is still."""
STILL_LOG_ODDS = 0.01
"""Range of the log-odds of everything that a check asked below which the model's answer is still."""
SATURATED_LOG_ODDS = 15.0
"""Median log-odds beyond which the rounding of a float32 probability hides what the model answers."""

STRONG = "strong"
FAIR = "fair"
DEPENDS = "depends on the stand-in"
NOT_CONFIRMED = "not confirmed"
CONFIRMED = frozenset({STRONG, FAIR})
"""Verdicts with which the model confirms an explanation."""
NEEDS_MORE = "needs more samples: about "
NOTHING = "nothing to explain: the model's answer hardly moves"
SATURATED = "nothing to explain: the model's answer is saturated"
NO_ORDER = "nothing to explain: no region speaks more for this class than another"
NO_ORDER_OF_VALUES = "nothing to explain: no region raises this value more than another"
TOO_NARROW = "too narrow a kernel: hardly any sample counts; use a larger --kernel-width"
NOT_CHECKED = "not checked"
TOO_FEW_REGIONS = "not checked: too few regions to compare with"
BEFORE_WORDS = ("trustworthy", "not linear here", "too sparse", "no interval to judge by")
"""How verdicts of earlier versions begin. They measured whether regions act alone, so they count as not checked."""


@dataclass(frozen=True)
class Word:
    """A verdict as reports explain it.

    Attributes
    ----------
    text : str
        How the verdict begins.
    meaning : str
        What it says, in one sentence.
    next_step : str
        What to do next; empty where nothing is to be done.
    pale : bool
        Whether the map is drawn pale, since it may mislead.
    """

    text: str
    meaning: str
    next_step: str = ""
    pale: bool = True


WORDS = (
    Word(
        STRONG,
        "Under every kind of replacement, the model loses more without the regions that speak most for the class than "
        "without others; under one at least, without the first of them alone.",
        pale=False,
    ),
    Word(
        FAIR,
        "Under at least two kinds of replacement, the model loses more without the regions that speak most for the "
        "class than without others.",
        "Read these regions together, not one by one.",
        pale=False,
    ),
    Word(
        DEPENDS,
        "Under one kind of replacement only, the model loses more without the regions that speak most for the class "
        "than without others.",
        "Do not rely on the map. Run `explain` again with more --samples or --donors.",
    ),
    Word(
        NOT_CONFIRMED,
        "The model does not clearly lose more without the regions that speak most for the class than without others.",
        "Do not read the map. Try other --segments, or look for a cause that lies in no single region.",
    ),
    Word(
        NEEDS_MORE.partition(":")[0],
        "Chance decides which regions come first.",
        "Repeat with the number of --samples that is given.",
    ),
    Word(
        NOTHING.partition(":")[0],
        "The model's answer is the same whatever is replaced, or no region speaks more for the class than another.",
        "Explain another class or another picture.",
    ),
    Word(
        TOO_NARROW.partition(":")[0],
        "Hardly any sample counts.",
        "Use a larger --kernel-width.",
    ),
    Word(
        TOO_FEW_REGIONS,
        "There are too few regions to compare the strongest ones with.",
        "Use more --segments.",
    ),
    Word(
        NOT_CHECKED,
        "Nobody has asked the model whether these regions matter to it.",
        "Run `facelime check`.",
    ),
)
"""Every verdict, the best first."""
VALUE_MEANINGS = {
    STRONG: "Under every kind of replacement, the value falls more without the regions that raise it most than without "
    "others; under one at least, without the first of them alone.",
    FAIR: "Under at least two kinds of replacement, the value falls more without the regions that raise it most than "
    "without others.",
    DEPENDS: "Under one kind of replacement only, the value falls more without the regions that raise it most than "
    "without others.",
    NOT_CONFIRMED: "The value does not clearly fall more without the regions that raise it most than without others.",
    NOTHING.partition(":")[0]: "The value is the same whatever is replaced, or no region raises it more than another.",
}
"""What verdicts mean of a model that answers with values, by `Word.text`."""
VALUE_STEPS = {NOTHING.partition(":")[0]: "Explain another picture."}
"""What to do next, where that differs from `Word.next_step`."""


def word_of_value(verdict: str) -> Word:
    """Return what reports say of a verdict on a model that answers with values; as `word_of`.

    Parameters
    ----------
    verdict : str

    Returns
    -------
    Word

    Examples
    --------
    >>> word_of_value("not confirmed").meaning
    'The value does not clearly fall more without the regions that raise it most than without others.'
    """
    word = word_of(verdict)
    meaning, step = VALUE_MEANINGS.get(word.text, word.meaning), VALUE_STEPS.get(word.text, word.next_step)
    return replace(word, meaning=meaning, next_step=step)


@dataclass(frozen=True)
class Worth:
    """How often the explanations with a verdict named the region that was planted.

    Attributes
    ----------
    right, cases : int
        Cases in which the strongest region was the planted one, and all cases with this verdict.
    """

    right: int
    cases: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share that is right, 0 to 1."""
        return wilson(self.right, self.cases)

    @property
    def words(self) -> str:
        """What reports say of it.

        Examples
        --------
        >>> Worth(38, 40).words
        'in 83 to 99 of 100 pictures with a planted cause, the first region was the planted one'
        """
        low, high = self.interval
        share = f"in {100 * low:.0f} to {100 * high:.0f} of 100 pictures with a planted cause"
        return f"{share}, the first region was the planted one"


WORTH = {STRONG: Worth(59, 61), FAIR: Worth(30, 34), DEPENDS: Worth(9, 11), NOT_CONFIRMED: Worth(3, 9)}
"""What each word was worth on planted truth, by `Word.text`, see docs/measured.md.

The cases are of kinds of tags that no rule was chosen on. A word that is missing was not measured.
"""


def word_of(verdict: str) -> Word:
    """Return what reports say of a verdict.

    Parameters
    ----------
    verdict : str
        As it is stored. Those of methods that fit nothing, and of earlier versions, count as not checked.

    Returns
    -------
    Word

    Examples
    --------
    >>> word_of("needs more samples: about 2,400").text, word_of("trustworthy").text
    ('needs more samples', 'not checked')
    """
    return next((each for each in WORDS if verdict.startswith(each.text)), WORDS[-1])


def known(verdict: str) -> str:
    """Return a stored verdict as it reads today: words of earlier versions count as not checked.

    Parameters
    ----------
    verdict : str

    Returns
    -------
    str

    Examples
    --------
    >>> known("not linear here"), known("fair")
    ('not checked', 'fair')
    """
    return NOT_CHECKED if verdict.startswith(BEFORE_WORDS) else verdict


@dataclass(frozen=True)
class Figures:
    """What a verdict is made from before the model is asked, for one class.

    Attributes
    ----------
    effective_samples : float
        How many samples of equal weight would tell as much.
    spread : float
        Weighted standard deviation of the model's probability.
    r2 : float
        On samples that were not fitted.
    limit : float
        R² of this surrogate, if there were samples without end. NaN where the samples cannot tell.
    imprecision : float
        Half interval of the top segments, as a share of the strongest coefficient. NaN where there is no interval.
    repeat : float
        Chance that the set of the top segments repeats. NaN where there is no interval.
    n_samples, n_segments : int
    complete : bool
        Whether all masks there are were used, so that nothing is left to chance.
    """

    effective_samples: float
    spread: float
    r2: float
    limit: float
    imprecision: float
    repeat: float
    n_samples: int
    n_segments: int
    complete: bool


def before_check(found: Figures) -> str:
    """Say in words what the samples allow to say: the first rule that holds.

    Parameters
    ----------
    found : Figures

    Returns
    -------
    str
        One of the sentences above; a sentence that asks for samples ends with their number.

    Notes
    -----
    The rules and their thresholds are this program's own. R² is no part of them: regions that act together have a low
    one, whether or not the explanation is true.

    Examples
    --------
    >>> good = Figures(900.0, 0.1, 0.95, 0.96, 0.2, 0.9, n_samples=1000, n_segments=20, complete=False)
    >>> before_check(good)
    'not checked'
    """
    chance = not found.complete
    least = LEAST_EFFECTIVE_PER_SEGMENT * found.n_segments
    narrow = 0 < found.effective_samples < LEAST_EFFECTIVE_SHARE * found.n_samples
    # "not >=" is meant: an R² that is NaN is unclear too.
    unclear = not found.r2 >= CLEAR_R2
    # The order is the message: whoever has too few samples learns nothing from any later figure.
    rules = (
        (chance and narrow, TOO_NARROW),
        (chance and found.effective_samples < least, _too_few(found, least)),
        (found.spread < STILL_PROBABILITY, NOTHING),
        (chance and math.isnan(found.limit), _too_few(found, least)),
        (chance and found.imprecision > PRECISE_SHARE, _more(found)),
        (chance and unclear and found.repeat < LEAST_REPEAT, _more(found)),
    )
    return next((words for holds, words in rules if holds), NOT_CHECKED)


def after_check(before: str, answers: Floats, effect: Floats, p_value: Floats, numbers: Sequence[int]) -> str:
    """Say in words what the model answered: under how many fills it confirms the strongest regions.

    Parameters
    ----------
    before : str
        The verdict before.
    answers : (F, S) float64 array
        Log-odds of everything that was asked.
    effect : (k, F) float64 array
        Log-odds lost beyond the mean of other sets, for each number of regions and each fill. NaN where no other set
        is there to compare with.
    p_value : (k, F) float64 array
    numbers : sequence of int
        How many regions each row is about.

    Returns
    -------
    str

    Notes
    -----
    A fill confirms when p is at most 0.05 and the effect at least 0.1 log-odds, for any number of regions. An
    explanation is strong when four fills confirm it, or all three where a dataset has no classes, and one of them the
    first region alone. With fewer than 20 regions, no p of the first region alone is so small, and an explanation is
    fair at best.
    A verdict that asks for samples stays where the model confirms under no fill: then nobody knows whether the regions
    are wrong, or only drawn by chance.

    Examples
    --------
    >>> answers, p = np.array([[0.0, 2.0]] * 4), np.array([[0.025, 0.025, 0.025, 0.025]])
    >>> [after_check("not checked", answers, effect, p, [1]) for effect in (np.ones((1, 4)), np.zeros((1, 4)))]
    ['strong', 'not confirmed']
    """
    if before.startswith(NOTHING) or np.ptp(answers) < STILL_LOG_ODDS:
        return NOTHING
    if abs(float(np.median(answers))) > SATURATED_LOG_ODDS:
        return SATURATED
    if np.isnan(effect).all():
        return TOO_FEW_REGIONS
    return _by_fills(before, effect, p_value, numbers, LEAST_EFFECT)


def after_check_of_values(before: str, answers: Floats, effect: Floats, p_value: Floats, numbers: Sequence[int]) -> str:
    """Say in words what the model answered, where it answers with a value: as `after_check`, in the value's unit.

    Parameters
    ----------
    before, p_value, numbers
        As `after_check` takes them.
    answers : (F, S) float64 array
        The value for everything that was asked.
    effect : (k, F) float64 array
        What the value loses beyond the mean of other sets.

    Returns
    -------
    str

    Notes
    -----
    A unit is not known, so thresholds are shares: a fill confirms from `least_of_values` on, and a value is still where
    everything that was asked lies within 0.01 % of its size. No value is saturated.

    Examples
    --------
    >>> answers, p = np.array([[120.0, 132.0]] * 4), np.array([[0.025, 0.025, 0.025, 0.025]])
    >>> [after_check_of_values("not checked", answers, np.full((1, 4), size), p, [1]) for size in (4.1, 0.1)]
    ['strong', 'not confirmed']
    """
    if before.startswith(NOTHING) or np.ptp(answers) <= STILL_SHARE * np.abs(answers).max():
        return NOTHING
    if np.isnan(effect).all():
        return TOO_FEW_REGIONS
    return _by_fills(before, effect, p_value, numbers, least_of_values(answers))


def least_of_values(answers: Floats) -> float:
    """Return the least effect on a value with which the model confirms an explanation.

    Parameters
    ----------
    answers : (F, S) float64 array
        The value for everything that was asked.

    Returns
    -------
    float
        5 % of its range, in its unit.

    Examples
    --------
    >>> least_of_values(np.array([[100.0, 120.0]]))
    1.0
    """
    return LEAST_SHARE * float(np.ptp(answers))


def _by_fills(before: str, effect: Floats, p_value: Floats, numbers: Sequence[int], least: float) -> str:
    n_fills = int(confirming(effect, p_value, least).sum())
    if not n_fills:
        return before if before.startswith((NEEDS_MORE, TOO_NARROW)) else NOT_CONFIRMED
    first = np.array(numbers) == 1
    enough = max(FEWEST_OF_STRONG, min(FILLS_OF_STRONG, effect.shape[1]))
    if n_fills >= enough and confirming(effect[first], p_value[first], least).any():
        return STRONG
    return FAIR if n_fills >= FILLS_OF_FAIR else DEPENDS


def confirming(effect: Floats, p_value: Floats, least: float = LEAST_EFFECT) -> NDArray[np.bool_]:
    """Return under which fills the model confirms the strongest regions.

    Parameters
    ----------
    effect, p_value : (k, F) float64 arrays
        As `after_check` takes them.
    least : float
        Least effect.

    Returns
    -------
    (F,) bool array
        Where p is small and the effect large enough, for any number of regions.
    """
    with np.errstate(invalid="ignore"):
        confirmed = (p_value <= SIGNIFICANT) & (effect >= least)
    return np.asarray(confirmed.any(axis=0))


def _too_few(found: Figures, least: int) -> str:
    """Ask for as many samples as leave at least `least` effective ones."""
    # The effective number grows as the samples do. Without any, one is assumed, since nothing can be divided by 0.
    effective = max(found.effective_samples, 1.0)
    wanted = max(LEAST_SAMPLES_PER_SEGMENT * found.n_segments, found.n_samples * least / effective)
    return NEEDS_MORE + about(wanted)


def _more(found: Figures) -> str:
    return more(found.imprecision, found.n_samples, found.n_segments)


def more(imprecision: float, n_samples: int, n_segments: int) -> str:
    """Ask for as many samples as intervals need to become precise.

    Parameters
    ----------
    imprecision : float
        Half interval of the top segments, as a share of the strongest coefficient. NaN where there is no interval.
    n_samples, n_segments : int

    Returns
    -------
    str

    Examples
    --------
    >>> more(1.0, 1000, 40)
    'needs more samples: about 4,000'
    """
    precision = 0.0
    if not math.isnan(imprecision):
        # The width of an interval shrinks with the root of the number of samples.
        precision = (imprecision / PRECISE_SHARE) ** 2
    enough = LEAST_SAMPLES_PER_SEGMENT * n_segments / n_samples
    factor = max(precision, enough, LEAST_FACTOR)
    return NEEDS_MORE + about(n_samples * min(factor, LARGEST_FACTOR))


def about(count: float) -> str:
    """Return a count with two significant digits.

    Parameters
    ----------
    count : float

    Returns
    -------
    str

    Examples
    --------
    >>> about(2412)
    '2,400'
    """
    return f"{float(f'{count:.2g}'):,.0f}"
