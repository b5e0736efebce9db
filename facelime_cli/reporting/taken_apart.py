"""A picture taken apart: the model's stored answers while its strongest regions go, and without as many others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.checking import strongest_first
from facelime_cli.reporting.explanations import listed
from facelime_cli.reporting.quantities import round_above

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.reporting.stand_ins import StandIn, StandIns

    Rows = NDArray[np.int64]

HALF_OF_SCALE = 0.5
"""A probability above this is drawn on a scale from 0 to 100 %; lower ones on a shorter one, where they are seen."""
MORE_REGIONS = (5, 10)
"""Numbers of regions that a longer band would have."""
WIDTH, HEIGHT = 360, 170
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 34
"""The drawing of a curve and its margins, in the units of its own view box."""


@dataclass(frozen=True)
class Others:
    """What the model answered without sets of other regions, as many as the strongest that are gone.

    Attributes
    ----------
    low, high : float
        The lowest and the highest answer.
    n : int
        How many sets there were.
    more : int
        In how many of them the answer was higher than without the strongest.
    """

    low: float
    high: float
    n: int
    more: int


@dataclass(frozen=True)
class Step:
    """The model's answer without some of the strongest regions.

    Attributes
    ----------
    gone : int
        How many are gone.
    answer : float
        The model's answer for the class that is explained, or the value.
    instead : str
        Another class that the model finds more probable then; empty where there is none.
    instead_answer : float
        The probability of that class.
    others : Others or None
        None where the check asked for no other sets of this size.
    """

    gone: int
    answer: float
    instead: str
    instead_answer: float
    others: Others | None


@dataclass(frozen=True)
class Course:
    """What the model answered step by step, under one stand-in.

    Attributes
    ----------
    stand_in : StandIn
    steps : list of Step
        From all regions to none.
    """

    stand_in: StandIn
    steps: list[Step]

    def step(self, gone: int) -> Step | None:
        """Return the step with so many regions gone; None where this was not asked.

        Parameters
        ----------
        gone : int
        """
        return next((each for each in self.steps if each.gone == gone), None)


@dataclass(frozen=True)
class TakenApart:
    """A picture taken apart for one class, under every stand-in that may be shown.

    Attributes
    ----------
    order : list of int
        Its regions, in the order in which they go.
    number : int
        How many are gone in the step that a reader sees first: the one that the verdict is about.
    courses : list of Course
        Those of stand-ins that the explanation used first. All have the same steps.
    values : bool
        Whether the answers are values, not probabilities.
    """

    order: list[int]
    number: int
    courses: list[Course]
    values: bool

    @property
    def steps(self) -> list[int]:
        """How many regions are gone in each step."""
        return [each.gone for each in self.courses[0].steps]

    @property
    def first(self) -> int:
        """The place of the step that a reader sees first."""
        return self.steps.index(self.number)

    @property
    def compared(self) -> list[int]:
        """For which numbers of regions other sets were asked for."""
        return [each.gone for each in self.courses[0].steps if each.others]

    @property
    def rivals(self) -> bool:
        """Whether another class becomes the most probable anywhere."""
        return any(step.instead for course in self.courses for step in course.steps)

    @property
    def band(self) -> str:
        """What the grey band is, in a sentence; empty where there is none."""
        if not self.compared:
            return ""
        sets = max(each.others.n for each in self.courses[0].steps if each.others)
        regions = "region" if self.compared == [1] else "regions"
        more = ",".join(map(str, sorted({*self.compared, *MORE_REGIONS})))
        return (
            f"Grey: the lowest to the highest answer without as many random others, up to {sets} sets. The check asked "
            f"for them at {listed(list(map(str, self.compared)))} {regions}. `facelime check --regions {more}` asks "
            "for more of them."
        )

    @cached_property
    def drawing(self) -> Drawing:
        """The curves as they are drawn."""
        return Drawing(self)


@dataclass(frozen=True)
class Drawing:
    """Where everything of a curve stands, in the units of the drawing's view box.

    Attributes
    ----------
    apart : TakenApart
    """

    apart: TakenApart
    width = WIDTH
    height = HEIGHT
    left = LEFT
    right = WIDTH - RIGHT
    top = TOP
    bottom = HEIGHT - BOTTOM

    @cached_property
    def scale(self) -> tuple[float, float]:
        """The answers at the lower and the upper end."""
        found = [each for course in self.apart.courses for step in course.steps for each in _answers(step)]
        low, high = min(found), max(found)
        if not self.apart.values and low >= 0:
            return 0.0, 1.0 if high > HALF_OF_SCALE else min(1.0, round_above(100 * high) / 100)
        if not self.apart.values:
            return -1.0, 1.0
        room = 0.05 * (high - low) or max(abs(high), 1.0)
        return low - room, high + room

    @property
    def marks(self) -> list[float]:
        """The answers that the axis names."""
        low, high = self.scale
        return [low, (low + high) / 2, high]

    def x(self, place: int) -> float:
        """Return where a step stands; all are equally far apart, since most of them are few regions.

        Parameters
        ----------
        place : int
        """
        return self.left + (self.right - self.left) * place / max(len(self.apart.steps) - 1, 1)

    def y(self, answer: float) -> float:
        """Return where an answer stands.

        Parameters
        ----------
        answer : float
        """
        low, high = self.scale
        return self.bottom - (self.bottom - self.top) * (answer - low) / (high - low)

    def line(self, course: Course) -> str:
        """Return the points of a curve.

        Parameters
        ----------
        course : Course
        """
        return _points((self.x(place), self.y(step.answer)) for place, step in enumerate(course.steps))

    def band(self, course: Course) -> str:
        """Return the points around the answers without others, from the full picture on.

        Parameters
        ----------
        course : Course
        """
        # Without any region gone, all sets are the full picture.
        full = course.steps[0].answer
        known = [(0, Others(full, full, 1, 0))]
        known += [(place, step.others) for place, step in enumerate(course.steps) if step.others]
        upper = [(self.x(place), self.y(each.high)) for place, each in known]
        lower = [(self.x(place), self.y(each.low)) for place, each in reversed(known)]
        return _points([*upper, *lower])


def taken_apart(explanations: Explanations, stand_ins: StandIns, row: int, c: int) -> TakenApart | None:
    """Return a picture taken apart for a class, from what a check has stored.

    Parameters
    ----------
    explanations : Explanations
    stand_ins : StandIns
        What may be shown of what stood in.
    row, c : int
        The picture and the class.

    Returns
    -------
    TakenApart or None
        None where no check asked about this class, or its regions have no order.
    """
    check = explanations.check
    if check is None or not check.verdict(row, c) or not check.strongest(row, c):
        return None
    shown = [each for each in stand_ins.of(row) if each.source is check.artifact and each.place is not None]
    if not shown:
        return None
    order = strongest_first(explanations.coefficients(row, c))
    masks, answers = check.asked(row, len(order))
    steps = _without_strongest(masks, order)
    others = check.others(row, c, order, explanations.ids[row])
    courses = []
    for each in shown:
        its = answers[each.place, :, : len(explanations.answer_names)]
        explained = stand_ins.explained(its, c)
        instead = [_instead(explanations, its[place], c) for place in steps.values()]
        courses.append(Course(each, _steps(steps, others, explained, instead)))
    found = explanations.confirmation(row, c)
    number = max(n for n in (*check.numbers, 0) if n in steps) if found is None else found.number
    return TakenApart(order.tolist(), number, courses, explanations.values)


def _without_strongest(masks: NDArray[np.bool_], order: Rows) -> dict[int, int]:
    """Return which masks lack the strongest regions and no other: by how many are gone, the row."""
    off = ~masks[:, order]
    gone = off.sum(axis=1)
    found = (off == (np.arange(len(order)) < gone[:, None])).all(axis=1)
    # The same mask may have been asked for twice, and has the same answer.
    return {int(gone[place]): int(place) for place in np.flatnonzero(found)[np.argsort(gone[found], kind="stable")]}


def _steps(
    steps: Mapping[int, int],
    others: Mapping[int, Rows],
    answers: NDArray[np.float64],
    instead: Sequence[tuple[str, float]],
) -> list[Step]:
    """Return the steps under one stand-in; `answers` is (S,)."""
    found = []
    for (gone, place), (name, probability) in zip(steps.items(), instead, strict=True):
        answer, sets = float(answers[place]), others.get(gone)
        found.append(Step(gone, answer, name, probability, None if sets is None else _around(answers[sets], answer)))
    return found


def _around(answers: NDArray[np.float64], answer: float) -> Others:
    """Return what others sets answered, beside the answer without the strongest."""
    return Others(float(answers.min()), float(answers.max()), len(answers), int((answers > answer).sum()))


def _instead(explanations: Explanations, answers: NDArray[np.float32], c: int) -> tuple[str, float]:
    """Return the class that the model finds most probable, if it is another one; else an empty name."""
    # Findings exclude nothing, and values and differences have no rivals.
    if explanations.values or explanations.independent or explanations.contrast is not None:
        return "", 0.0
    most = int(answers.argmax())
    return ("", 0.0) if most == c else (explanations.answer_names[most], float(answers[most]))


def _answers(step: Step) -> list[float]:
    return [step.answer] if step.others is None else [step.answer, step.others.low, step.others.high]


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
