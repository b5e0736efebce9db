"""The first line of a picture: what the model says, what that rests on, whether it confirms it, compared with what.

It is written for a physician who has two minutes. Every number in it is an answer of the model, none is a surrogate's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli.core.checking import strongest_first
from facelime_cli.core.verdict import (
    DEPENDS,
    FAIR,
    NEEDS_MORE,
    NO_ORDER,
    NO_ORDER_OF_VALUES,
    NOT_CHECKED,
    NOT_CONFIRMED,
    NOTHING,
    SATURATED,
    SIGNIFICANT,
    STRONG,
    TOO_FEW_REGIONS,
    TOO_NARROW,
)
from facelime_cli.reporting.explanations import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.reporting.taken_apart import Course, Step, TakenApart

MOST_NUMBERED = 5
"""Regions up to which a sentence names each."""
NAMED_UNCHECKED = 3
"""How many regions a sentence names of an explanation that was not checked."""
MOST_DIGITS = 3
"""Behind the point of a percentage, where fewer would make two different answers look the same."""
WHOLE = 100

CHECKED_ALREADY = {
    NEEDS_MORE.partition(":")[0]: "Chance decides which regions come first: the samples are too few.",
    NO_ORDER: "There is nothing to take apart: no region speaks more for it than another.",
    NO_ORDER_OF_VALUES: "There is nothing to take apart: no region raises it more than another.",
    SATURATED: "There is nothing to explain: its answer is so near to 0 or 100 % that no change can be told.",
    NOTHING: "There is nothing to explain: its answer hardly moves, whatever is replaced.",
    TOO_NARROW.partition(":")[0]: "The explanation is worth little: hardly any sample counts. Use a larger "
    "--kernel-width.",
    TOO_FEW_REGIONS: "The model can neither confirm nor refute this: there are too few regions to compare with. Use "
    "more --segments.",
}
"""What verdicts say that neither confirm nor refute, by how they begin; the longer ones first."""


@dataclass(frozen=True)
class Numbers:
    """Writes the model's answers.

    Attributes
    ----------
    values : bool
        Whether they are values.
    difference : bool
        Whether they are differences of two probabilities.
    digits : int
        Behind the point.
    behind : str
        The unit of values, as it stands behind a number.
    """

    values: bool = False
    difference: bool = False
    digits: int = 0
    behind: str = ""

    @property
    def unit(self) -> str:
        """What stands behind a number."""
        if self.values:
            return self.behind
        return " points" if self.difference else " %"

    def bare(self, answer: float) -> str:
        """Return an answer without its unit.

        Parameters
        ----------
        answer : float

        Examples
        --------
        >>> [Numbers().bare(each) for each in (0.41, 0.9997, 0.0001, 0.0, 1.0)]
        ['41', 'over 99', 'under 1', '0', '100']
        >>> Numbers(difference=True).bare(-0.352), Numbers(values=True, digits=1).bare(61.25)
        ('−35', '61.2')
        """
        text = f"{answer if self.values else WHOLE * answer:.{self.digits}f}"
        if self.values or self.difference:
            return text.replace("-", "−") if float(text) else text.lstrip("-")
        least = 10.0**-self.digits
        # A probability that rounds to none or to all is neither.
        if float(text) == 0 and answer > 0:
            return f"under {least:.{self.digits}f}"
        if float(text) == WHOLE and answer < 1:
            return f"over {WHOLE - least:.{self.digits}f}"
        return text

    def one(self, answer: float) -> str:
        """Return an answer with its unit.

        Parameters
        ----------
        answer : float
        """
        return self.bare(answer) + self.unit

    def span(self, low: float, high: float) -> str:
        """Return two answers and what lies between.

        Parameters
        ----------
        low, high : float

        Examples
        --------
        >>> Numbers().span(0.93, 0.994), Numbers().span(0.9996, 0.9998)
        ('93 to 99 %', 'over 99 %')
        """
        words = list(dict.fromkeys((self.bare(low), self.bare(high))))
        return " to ".join(words) + self.unit


def numbers_of(explanations: Explanations, step: Step | None = None) -> Numbers:
    """Return how the answers of a sentence are written.

    Parameters
    ----------
    explanations : Explanations
    step : Step, optional
        What is compared: percentages have as many digits as tell its answers apart.
    """
    spoken = explanations.spoken
    if explanations.values:
        return Numbers(values=True, digits=spoken.digits, behind=spoken.behind)
    difference = explanations.contrast is not None
    found = Numbers(difference=difference)
    around = None if step is None else step.others
    while around and step and found.digits < MOST_DIGITS:
        if step.answer >= around.low or found.bare(step.answer) != found.bare(around.low):
            break
        found = Numbers(difference=difference, digits=found.digits + 1)
    return found


def first_line(
    explanations: Explanations, row: int, c: int, apart: TakenApart | None, called: Sequence[str] = ()
) -> list[str]:
    """Return the sentences that stand first beside a picture.

    Parameters
    ----------
    explanations : Explanations
    row, c : int
        The picture and the class.
    apart : TakenApart or None
        The picture taken apart, where a check asked about the class.
    called : sequence of K str, optional
        What each region is called: its zone or its place.

    Returns
    -------
    list of str
        Commands stand between backticks.
    """
    course = None if apart is None else apart.courses[0]
    step = None if apart is None or course is None else course.step(apart.number)
    numbers = numbers_of(explanations, step)
    found = [_says(explanations, row, c, numbers)]
    if apart is None or course is None or step is None or not step.gone:
        found += _without_steps(explanations, row, c, called)
    else:
        name, strongest = explanations.names[c], explanations.coefficients(row, c)[apart.order[0]] > 0
        which = _which(apart.order[: step.gone], _does(explanations, name, strongest=bool(strongest)), called)
        found += _rests(explanations, c, which, step, numbers)
        place = "its place" if step.gone == 1 and step.others is None else "their place"
        found.append(f"{_capital(course.stand_in.words)} stood in {place}.")
        found.append(_confirms(explanations, row, c, course, step))
    return found


def _says(explanations: Explanations, row: int, c: int, numbers: Numbers) -> str:
    """Return what the model says of the whole picture."""
    names, answers = explanations.answer_names, explanations.answers_of(row)
    explained = float(explanations.explained_of(row)[c])
    if explanations.values:
        return f"For {explanations.names[c]} the model says {numbers.one(explained)}."
    plain = Numbers(digits=numbers.digits)
    called = explanations.called(row)
    said = [f"{names[each]} ({plain.one(float(answers[each]))})" for each in called]
    if explanations.contrast is not None:
        return (
            f"The model says {listed(said) if said else 'no finding'}. What is explained is {explanations.names[c]}: "
            f"a difference of {numbers.one(explained)}."
        )
    gives = "" if c in called else f" It gives {explanations.names[c]} {plain.one(explained)}."
    if explanations.independent:
        return (f"The model finds {listed(said)}." if said else "The model finds nothing of 50 % or more.") + gives
    label = explanations.label(row)
    wrong = False in explanations.right(row).values()
    return f"The model says {listed(said)}{f'; the label says {label}' if wrong and label else ''}.{gives}"


def _rests(explanations: Explanations, c: int, which: str, step: Step, numbers: Numbers) -> list[str]:
    """Return what the model answers without the strongest regions, and without others."""
    name = explanations.names[c]
    verb = "the value is" if explanations.values else "the difference is" if numbers.difference else f"it gives {name}"
    then = f" and says {step.instead} ({Numbers().one(step.instead_answer)})" if step.instead else ""
    found = [f"Without {which} {verb} {numbers.one(step.answer)}{then}."]
    if step.others is not None:
        others = "any one of the others" if step.gone == 1 else f"{step.gone} random others"
        n, more = step.others.n, step.others.more
        higher = "higher" if explanations.values or numbers.difference else "more"
        all_sets = f"all {n}" if more == n else f"{more} of {n}"
        times = f"for {all_sets}" if step.gone == 1 else f"in {all_sets} draws"
        span = numbers.span(step.others.low, step.others.high)
        found.append(f"Without {others} {verb} {span}: {higher} {times}.")
    return found


def _does(explanations: Explanations, name: str, *, strongest: bool) -> str:
    """Return what the first regions do: they may all speak against a class."""
    if explanations.values:
        return f"raise {name} most" if strongest else f"lower {name} least"
    return f"speak most for {name}" if strongest else f"speak least against {name}"


def _which(regions: list[int], does: str, called: Sequence[str] = ()) -> str:
    """Return which regions are gone.

    Examples
    --------
    >>> _which([1], "speak most for nevus", ["nose", "chin"]), _which([7, 2], "raise age most")
    ('the region that speaks most for nevus (chin 1)', 'the 2 regions that raise age most (7 and 2)')
    """
    if len(regions) == 1:
        verb, _, rest = does.partition(" ")
        return f"the region that {verb}s {rest} ({_labels(regions, called)[0] if called else f'region {regions[0]}'})"
    named = f" ({listed(_labels(regions, called))})" if len(regions) <= MOST_NUMBERED else ""
    return f"the {len(regions)} regions that {does}{named}"


def _labels(regions: Iterable[int], called: Sequence[str]) -> list[str]:
    """Return each region's name, if it has one, and its number, by which table and map know it."""
    return [f"{called[k]} {k}" if called else str(k) for k in regions]


def _confirms(explanations: Explanations, row: int, c: int, course: Course, step: Step) -> str:
    """Return whether the model confirms the regions, and what to do with the map."""
    verdict, found = explanations.verdict(row, c), explanations.confirmation(row, c)
    if found is None or not verdict.startswith((STRONG, FAIR, DEPENDS, NOT_CONFIRMED)):
        return _of_verdict(explanations, row, c)
    if verdict == NOT_CONFIRMED:
        loses = "the value falls" if explanations.values else "it loses"
        return (
            f"The model does not confirm these regions: {loses} not clearly more without them than without others. "
            "Do not read the map."
        )
    held, n = found.confirming, len(found.fills)
    here = "" if course.stand_in.fill in held else f", but not with the one shown here{_too_small(step)}"
    if n == 1:
        return "The model confirms these regions, but with the only replacement that was tried: do not rely on the map."
    if verdict == DEPENDS:
        return (
            f"The model confirms these regions with only 1 of {n} kinds of replacement{here}: do not rely on the map."
        )
    many = f"all {n}" if len(held) == n else f"{len(held)} of {n}"
    together = " Read them together, not one by one." if verdict == FAIR else ""
    return f"The model confirms these regions with {many} kinds of replacement{here}.{together}"


def _too_small(step: Step) -> str:
    """Return why a replacement does not confirm regions although hardly any others cost as much."""
    if step.others is None or 1 + step.others.n - step.others.more > SIGNIFICANT * (1 + step.others.n):
        return ""
    return ", where the difference is too small to count"


def _without_steps(explanations: Explanations, row: int, c: int, called: Sequence[str]) -> list[str]:
    """Return what is to be said where no answer without regions is stored."""
    order = strongest_first(explanations.coefficients(row, c))
    coefficients = explanations.coefficients(row, c)
    named = _labels([int(k) for k in order[:NAMED_UNCHECKED] if coefficients[k] > 0], called)
    does = "raise" if explanations.values else "speak for"
    name = explanations.names[c]
    verdict = explanations.verdict(row, c)
    if verdict.startswith((NO_ORDER, NO_ORDER_OF_VALUES, NOTHING)):
        return [_of_verdict(explanations, row, c)]
    if not named:
        return [f"In this explanation no region {_singular(does)} {name}.", _of_verdict(explanations, row, c)]
    one = len(named) == 1
    which = listed(named) if called else f"region {named[0]}" if one else f"regions {listed(named)}"
    most = f"raise {name} most" if explanations.values else f"speak most for {name}"
    first = f"The explanation says that {which} {_singular(most) if one else most}."
    return [first, _of_verdict(explanations, row, c)]


def _singular(does: str) -> str:
    verb, _, rest = does.partition(" ")
    return f"{verb}s {rest}".strip()


def _of_verdict(explanations: Explanations, row: int, c: int) -> str:
    """Return what a verdict says that neither confirms nor refutes."""
    verdict = explanations.verdict(row, c)
    # In the order of the table: some verdicts begin as others do.
    for begins, words in CHECKED_ALREADY.items():
        if verdict.startswith(begins):
            samples = verdict.removeprefix(NEEDS_MORE)
            return words + (f" Repeat it with about {samples} samples." if verdict.startswith(NEEDS_MORE) else "")
    if explanations.check is not None and verdict == NOT_CHECKED:
        return f"The check did not ask the model about this {'value' if explanations.values else 'class'}."
    return "Nobody has asked the model whether that is true."


def how_to_check(explanations: Explanations) -> str:
    """Return a sentence for a report without a check; empty for one that has it.

    Parameters
    ----------
    explanations : Explanations
    """
    if explanations.check is not None:
        return ""
    reference = explanations.surrogates.reference
    return (
        "This report has no check, so that it cannot take pictures apart: nobody has asked the model what it answers "
        f"without these regions. `facelime check {reference} | facelime render -` asks it and makes the report again."
    )


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
