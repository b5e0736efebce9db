"""What the templates of a report show: one record for each thing on a page, with the names that the templates use."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from facelime_cli.choices import FILLS
from facelime_cli.core import shapes
from facelime_cli.core.fidelity import distinct
from facelime_cli.core.verdict import ALONE_R2, NOT_CHECKED, NOTHING, TOO_FEW_REGIONS, WORTH, word_of, word_of_value
from facelime_cli.drawing.outlines import paths as outlines_of
from facelime_cli.drawing.overlay import colour
from facelime_cli.reporting import members
from facelime_cli.reporting.explanations import Strength, listed
from facelime_cli.reporting.pages import signed
from facelime_cli.reporting.plain_words import numbers_of
from facelime_cli.reporting.quantities import DIGITS
from facelime_cli.reporting.stand_ins import words_of
from facelime_cli.reporting.unlike import words_of as distance_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.core.verdict import Word
    from facelime_cli.reporting.checks import Confirmation
    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.reporting.members import MembersShown
    from facelime_cli.reporting.plain_words import Numbers
    from facelime_cli.reporting.quantities import Quantity, Spoken
    from facelime_cli.reporting.stand_ins import Example, StandIn
    from facelime_cli.reporting.taken_apart import TakenApart
    from facelime_cli.reporting.voices import Voice

NOT_EXPLAINED = "not explained for these classes"
"""Stands in the place of a verdict where no class of a picture is shown."""
QUIET = frozenset({NOT_CHECKED, TOO_FEW_REGIONS, word_of(NOTHING).text})
"""Words that say neither good nor bad of an explanation."""
CHECK_MORE = "Name the class with `facelime check --check-classes`."
"""What to do next about a class that a check left out."""
FILLS_TO_COMPARE = 2
"""Fewer fills cannot differ in which region comes first."""
LISTED_CLASSES = 8
"""Classes up to which all are listed beside a picture, else the most probable."""
MOST_PROBABLE_LISTED = 5
"""How many of the most probable classes are listed where there are too many for all."""
STATES = {True: "present", False: "absent"}
"""What a dataset says of a finding."""
RIGHT = {True: "right", False: "wrong"}
MOST_LISTED = 100
"""Further classes up to which a picture's page names them all."""


def badge_of(word: Word) -> str:
    """Return how a verdict's badge looks: `good`, `doubt`, or `quiet` where it says neither.

    Parameters
    ----------
    word : Word

    Examples
    --------
    >>> [badge_of(word_of(verdict)) for verdict in ("strong", "not confirmed", "not checked")]
    ['good', 'doubt', 'quiet']
    """
    if not word.pale:
        return "good"
    return "quiet" if word.text in QUIET else "doubt"


@dataclass(frozen=True)
class Answer:
    """The model's probability of one class of a picture.

    Attributes
    ----------
    name : str
        The class.
    points : float
        The probability in percent; a value as it is.
    words : str
        The same as the page says it.
    said : bool
        Whether it is the most probable class; where probabilities are independent, whether it is at least 50 %.
    label : bool
        Whether it is the true class, or one of the true findings.
    flag : str
        What the page says of it: `label` for the true class; `present` or `absent` for a finding. Empty where nothing
        is known.
    right : str
        `right` or `wrong`; empty where there is no flag.
    """

    name: str
    points: float
    words: str
    said: bool
    label: bool
    flag: str = ""
    right: str = ""


@dataclass(frozen=True)
class OverviewRow:
    """A picture's row of the overview.

    Attributes
    ----------
    id, anchor, thumbnail : str
        The picture, its place on its page, and its small copy; empty where a block has one for all.
    said : str
        What the model says: the most probable class, or every finding of at least 50 %, with the probability.
    said_names : list of str
        The names of these, to filter by.
    points : float
        The highest probability in percent.
    label : str or None
        The true class, or the findings that are present.
    right : str
        `right` or `wrong`; empty where the label is unknown or no class of the model. Of several findings one that is
        wrong is enough.
    flag : str
        The same as the page says it: of several findings how many are right.
    whole_verdict : str
    r2 : float or None
    strong : float or None
        The strongest coefficient as it is shown; None where no class is shown.
    """

    id: str
    anchor: str
    thumbnail: str
    said: str
    said_names: list[str]
    points: float
    label: str | None
    right: str
    flag: str
    # What follows is unknown where no class of the picture is shown.
    whole_verdict: str
    r2: float | None = None
    strong: float | None = None

    @property
    def verdict_kind(self) -> str:
        """The word of the verdict, to filter by and to count."""
        return NOT_EXPLAINED if self.whole_verdict == NOT_EXPLAINED else word_of(self.whole_verdict).text

    @property
    def badge(self) -> str:
        """How its badge looks, see `badge_of`."""
        return badge_of(word_of(self.whole_verdict))

    def as_data(self, digits: int) -> list[Any]:
        """Return it as `report.js` reads the overview of many pictures, without names: there are many of them.

        Parameters
        ----------
        digits : int
            Of the strongest coefficient, behind the point.
        """
        strong = None if self.strong is None else signed(self.strong, digits)
        r2 = None if self.r2 is None else f"{self.r2:.2f}"
        said = [self.said, self.said_names, self.points]
        labelled = [self.label, self.right, self.flag]
        verdict = [self.whole_verdict[:1].upper() + self.whole_verdict[1:], self.verdict_kind, self.badge]
        return [self.anchor, self.id, *said, *labelled, *verdict, self.r2, r2, self.strong, strong]


@dataclass(frozen=True)
class Region(Strength):
    """A region as it is drawn.

    Attributes
    ----------
    of : int
        How many regions the picture has.
    colour : str
        As `#rrggbb`.
    place : str
        Its zone, or where it lies in the picture.
    spot : (int, int)
        Row and column of the pixel deepest inside it.
    """

    of: int
    colour: str
    place: str
    spot: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One explanation of one class of a picture.

    Attributes
    ----------
    voice : Voice
        Whose it is.
    row, c : int
        The picture and the class, as the voice numbers them.
    prefix : str
        What the names of its outlines begin with.
    scale : float
        End of its colour scale.
    zones : list of (str, float)
        Each zone's coefficient, times 100.
    agreement : dict or None
        With the report's own explanation.
    answer : (str, str) or None
        Another model's name, and what it answers.
    examples : list of (str, Example)
        The picture without its strongest regions, and where each copy is.
    names : list of str
        What each region is called.
    spots : list of (int, int)
        Row and column of the pixel deepest inside each region.
    apart : TakenApart or None
        The picture taken apart; only the report's own explanation is, where a check asked about the class.
    line : list of str
        What stands first, in plain words; empty beside the report's own explanation.
    """

    voice: Voice
    row: int
    c: int
    prefix: str
    scale: float
    zones: list[tuple[str, float]]
    agreement: dict[str, Any] | None
    answer: tuple[str, str] | None
    examples: list[tuple[str, Example]]
    names: list[str]
    spots: list[tuple[int, int]]
    apart: TakenApart | None
    line: list[str]
    # Templates ask every voice whether it is silent.
    silent: None = None

    @property
    def label(self) -> str:
        """Whose it is."""
        return self.voice.label

    @property
    def numbers(self) -> Numbers:
        """How answers are written where a whole percent is enough."""
        return numbers_of(self.voice.explanations)

    @property
    def exact(self) -> Numbers:
        """How they are written in a table."""
        return replace(self.numbers, digits=max(self.numbers.digits, DIGITS))

    @property
    def segmentation(self) -> int:
        """Which of the report's segmentations it is of."""
        return self.voice.segmentation

    @property
    def quantity(self) -> Quantity:
        """What its coefficients are."""
        return self.voice.explanations.quantity

    @property
    def verdict(self) -> str:
        """What its figures mean, in words."""
        return self.voice.explanations.verdict(self.row, self.c)

    @property
    def word(self) -> Word:
        """What the page says of the verdict."""
        return word_of_value(self.verdict) if self.voice.explanations.values else word_of(self.verdict)

    @property
    def spoken(self) -> Spoken:
        """How the model's answers are written."""
        return self.voice.explanations.spoken

    @property
    def badge(self) -> str:
        """How the verdict's badge looks, see `badge_of`."""
        return badge_of(self.word)

    @property
    def next_step(self) -> str:
        """What to do next; empty where nothing is to be done."""
        unchecked = self.word.text == NOT_CHECKED and self.voice.explanations.check is not None
        # The picture was checked, but for other classes.
        return CHECK_MORE if unchecked else self.word.next_step

    @property
    def worth(self) -> str:
        """What the verdict's word was worth on planted truth; empty where nobody measured it."""
        # It was measured on classes.
        measured = None if self.voice.explanations.values else WORTH.get(self.word.text)
        return "" if measured is None else measured.words

    @cached_property
    def confirmation(self) -> Confirmation | None:
        """What the model answered without the strongest regions, or None."""
        return self.voice.explanations.confirmation(self.row, self.c)

    @cached_property
    def members(self) -> MembersShown | None:
        """What the networks say whose mean the model is, or None."""
        return members.shown(self.voice.explanations, self.row, self.c)

    @property
    def confirmed_under(self) -> str:
        """Under which fills the model confirms the strongest regions, in a sentence; empty where one was asked."""
        found = self.confirmation
        if found is None or len(found.fills) < FILLS_TO_COMPARE:
            return ""
        names = [FILLS[fill].stands for fill in found.confirming]
        if not names:
            return f"The model confirms them under none of {len(found.fills)} stand-ins."
        return f"The model confirms them under {len(names)} of {len(found.fills)} stand-ins: {listed(names)}."

    @property
    def effects(self) -> list[tuple[str, list[tuple[float, float]]]]:
        """For each fill what it is, and its effect and p value for each number of regions."""
        found = self.confirmation
        if found is None:
            return []
        both = zip(found.effect.T.tolist(), found.p_value.T.tolist(), strict=True)
        pairs = [list(zip(effects, p_values, strict=True)) for effects, p_values in both]
        return [(FILLS[fill].stands, its) for fill, its in zip(found.fills, pairs, strict=True)]

    @property
    def compared_with(self) -> str:
        """What stood in for regions, in plain words; empty where nothing was replaced."""
        return self.voice.explanations.compared_with

    @property
    def n_views(self) -> int | None:
        """How many views it was joined from."""
        return self.voice.explanations.n_views

    @property
    def first_by_fill(self) -> str:
        """Whether the first region depends on what stands in, in a sentence; empty with fewer than two fills."""
        first = self.voice.explanations.first_by_fill(self.row, self.c)
        if len(first) < FILLS_TO_COMPARE:
            return ""
        if len(set(first.values())) == 1:
            region = next(iter(first.values()))
            return f"Region {region} ({self.names[region]}) is first whatever stands in."
        each = [f"{region}, {self.names[region]} ({FILLS[fill].stands})" for fill, region in first.items()]
        return f"The first region depends on what stands in: {listed(each)}."

    @property
    def without(self) -> str:
        """Which regions are missing in the examples."""
        return words_of([each for _, each in self.examples])

    @cached_property
    def figures(self) -> dict[str, float]:
        """Figures of fidelity, NaN where there are none."""
        return self.voice.explanations.figures(self.row, self.c)

    @property
    def measured(self) -> bool:
        """Whether there are figures of fidelity."""
        return not math.isnan(self.figures["r2"])

    @property
    def alone(self) -> bool:
        """Whether regions act mostly alone, so that their coefficients add up."""
        return self.figures["r2"] >= ALONE_R2

    @property
    def overshoots(self) -> bool:
        """Whether the surrogate's answer for the full picture is impossible."""
        if self.voice.explanations.values:
            return False
        least = 0.0 if self.voice.explanations.contrast is None else -1.0
        return not least <= self.figures["local_prediction"] <= 1.0

    @property
    def repeats(self) -> bool:
        """Whether the chance of the same strongest regions is known."""
        return not math.isnan(self.figures["topk_repeat"])

    @property
    def explained(self) -> float:
        """What is explained: mostly the probability of the class, 0…1, or a value."""
        return float(self.voice.explanations.explained_of(self.row)[self.c])

    @property
    def distinct(self) -> int:
        """How many of the strongest regions the chance of the same set is about."""
        explanations = self.voice.explanations
        interval, _ = explanations.interval(self.row, self.c)
        # What was not fitted has no such parameter, and its strongest segment alone is told.
        stable_top = int(explanations.surrogates.parameters.get("stable_top", 1))
        found = distinct(interval[:, None], stable_top)
        return int(found[0])

    @cached_property
    def regions(self) -> list[Region]:
        """Every region, strongest first."""
        strengths = self.voice.explanations.strengths(self.row, self.c)
        return [self._region(each, len(strengths)) for each in strengths]

    def _region(self, each: Strength, of: int) -> Region:
        red, green, blue = colour(each.value, self.scale)
        place, spot = self.names[each.segment], self.spots[each.segment]
        return Region(**vars(each), of=of, colour=f"#{red:02x}{green:02x}{blue:02x}", place=place, spot=spot)

    @property
    def intervals(self) -> bool:
        """Whether there are intervals: all regions have one, or none has."""
        return self.regions[0].known

    @property
    def without_intervals(self) -> bool:
        """Whether only the bootstrap would give intervals."""
        return self.voice.explanations.without_intervals

    @property
    def samples(self) -> int | None:
        """How many samples it comes from."""
        return self.voice.explanations.samples(self.row)

    @property
    def zero(self) -> str:
        """What a coefficient of 0 means."""
        return self.voice.explanations.zero

    @cached_property
    def overlap(self) -> Any:
        """How much of it lies on the known region, or None where there is none."""
        return self.voice.explanations.overlap(self.row, self.c)


@dataclass(frozen=True)
class Silent:
    """Stands for a voice that does not explain a class of a picture.

    Attributes
    ----------
    label : str
        Whose voice it is.
    silent : str
        The sentence that says so.
    """

    label: str
    silent: str


@dataclass(frozen=True)
class ClassShown:
    """One class of a picture: what everyone says of it.

    Attributes
    ----------
    name : str
    said : str
        What the model answers, as the page says it.
    state : str
        `present` or `absent` where a picture may have several findings; empty where nothing is known.
    voices : list of Side or Silent
    """

    name: str
    said: str
    state: str
    voices: list[Side | Silent]


@dataclass(frozen=True, kw_only=True)
class PictureShown:
    """A picture and its explanations.

    Attributes
    ----------
    explanations : Explanations
        The report's own.
    row : int
        The picture, as the report numbers it.
    anchor, image : str
        Its place on the page, and where its copy is.
    inside : bool
        Whether the copy lies inside the page.
    outlines : list of (str, list of str)
        For each segmentation what the names of its outlines begin with, and the outlines.
    classes : list of ClassShown
    stand_ins : list of (str, StandIn)
        What stands where a region is off, and where each copy is.
    left_out : bool
        Whether another person's picture stands in, and is not shown.
    """

    explanations: Explanations
    row: int
    anchor: str
    image: str
    inside: bool
    outlines: list[tuple[str, list[str]]]
    classes: list[ClassShown]
    stand_ins: list[tuple[str, StandIn]]
    left_out: bool

    @property
    def id(self) -> str:
        """The picture's id."""
        return self.explanations.ids[self.row]

    @property
    def line(self) -> list[str]:
        """The first line, in plain words: that of the class that is shown first."""
        first = self.classes[0].voices[0] if self.classes else None
        return first.line if isinstance(first, Side) else []

    def place_of(self, stand_in: StandIn) -> int:
        """Return which of `stand_ins` has the picture of a stand-in.

        Parameters
        ----------
        stand_in : StandIn
            Of the report's own explanation.
        """
        return next(place for place, (_, each) in enumerate(self.stand_ins) if each.words == stand_in.words)

    @property
    def height(self) -> int:
        """Its height in pixels."""
        return shapes.sides(self.explanations.dataset.facts["size"])[0]

    @property
    def width(self) -> int:
        """Its width in pixels."""
        return shapes.sides(self.explanations.dataset.facts["size"])[1]

    @property
    def label(self) -> str | None:
        """The true class or findings, or None when the dataset does not say."""
        return self.explanations.label(self.row)

    @property
    def unlike(self) -> bool:
        """Whether it is unlike anything in the training data."""
        distances = self.explanations.distances
        return distances is not None and distances[self.row] > 1

    @property
    def distance(self) -> str | None:
        """How far it is from the training data, in words; None where nobody knows."""
        distances = self.explanations.distances
        return None if distances is None else distance_words(distances[self.row])

    @property
    def several(self) -> bool:
        """Whether a picture may have several findings."""
        return self.explanations.several

    @property
    def independent(self) -> bool:
        """Whether each probability stands for itself."""
        return self.explanations.independent

    @property
    def elsewhere(self) -> list[str]:
        """What the dataset says of findings that the model does not know."""
        explanations = self.explanations
        names = [name for name in explanations.dataset.facts["classes"] if name not in explanations.answer_names]
        known = [(name, explanations.holds(self.row, name)) for name in names]
        return [f"{name} {STATES[holds]}" for name, holds in known if holds is not None]

    @cached_property
    def unchanged(self) -> int:
        """On how many regions the fill changes nothing."""
        return self.explanations.unchanged(self.row)

    @cached_property
    def truth(self) -> str | None:
        """The outline of the known region; one without an edge in the picture has none."""
        truth = self.explanations.truth(self.row)
        if truth is None or not truth.any() or truth.all():
            return None
        inside = (truth > 0).astype("uint16")
        return outlines_of(inside)[1]

    @property
    def values(self) -> bool:
        """Whether the model answers with values."""
        return self.explanations.values

    @cached_property
    def answers(self) -> list[Answer]:
        """The model's answer, the most probable class first; values in their own order."""
        explanations, row = self.explanations, self.row
        if explanations.values:
            return [self._value(c) for c in range(len(explanations.answer_names))]
        probabilities, called, right = explanations.answers_of(row), explanations.called(row), explanations.right(row)
        found = []
        for c in probabilities.argsort(kind="stable")[::-1]:
            name = explanations.answer_names[c]
            is_label = explanations.holds(row, name) is True
            flag = "label" if is_label else ""
            if explanations.several and name in right:
                flag = STATES[is_label]
            points = 100 * float(probabilities[c])
            words = RIGHT[right[name]] if flag else ""
            written = explanations.spoken.answer(float(probabilities[c]))
            found.append(Answer(name, points, written, said=int(c) in called, label=is_label, flag=flag, right=words))
        return found

    def _value(self, c: int) -> Answer:
        """Return one value, and what the dataset says of it."""
        explanations, name = self.explanations, self.explanations.answer_names[c]
        value, true = float(explanations.answers_of(self.row)[c]), explanations.true_value(self.row, name)
        flag = "" if true is None else f"label {explanations.spoken.answer(true)}"
        return Answer(name, value, explanations.spoken.answer(value), said=True, label=true is not None, flag=flag)

    @cached_property
    def answer(self) -> Sequence[Answer]:
        """The classes that are listed at first: all where they are few, else the most probable and the true one."""
        if len(self.answers) <= LISTED_CLASSES:
            return self.answers
        # What is true is always listed, however improbable the model finds it, and so is what the model calls.
        probable, others = self.answers[:MOST_PROBABLE_LISTED], self.answers[MOST_PROBABLE_LISTED:]
        return [*probable, *(each for each in others if each.label or each.said)]

    @cached_property
    def others(self) -> Sequence[Answer]:
        """The classes that are not listed at first."""
        return [each for each in self.answers if each not in self.answer]

    @property
    def rest(self) -> Sequence[Answer]:
        """The other classes that the page names."""
        # A thousand classes would be more than anyone reads; predictions.csv has them.
        return self.others if len(self.others) <= MOST_LISTED else []

    @property
    def others_points(self) -> float:
        """The probability of all other classes together, in percent."""
        return sum(each.points for each in self.others)

    @property
    def label_listed(self) -> bool:
        """Whether the true class is among those that are listed at first."""
        return any(each.label for each in self.answer)
