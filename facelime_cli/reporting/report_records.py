"""What the templates of a report show: one record for each thing on a page, with the names that the templates use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.reporting.explanations import Strength

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.reporting.explanations import Quantity

TRUSTWORTHY = "trustworthy"
LISTED_CLASSES = 8
"""Classes up to which all are listed beside a picture, else the most probable."""
MOST_PROBABLE_LISTED = 5
"""How many of the most probable classes are listed where there are too many for all."""
MOST_LISTED = 100
"""Further classes up to which a picture's page names them all."""


@dataclass(frozen=True)
class Answer:
    """The model's probability of one class of a picture.

    Attributes
    ----------
    name : str
        The class.
    points : float
        The probability in percent.
    said : bool
        Whether it is the most probable class.
    label : bool
        Whether it is the true class.
    """

    name: str
    points: float
    said: bool
    label: bool


@dataclass(frozen=True)
class OverviewRow:
    """A picture's row of the overview.

    Attributes
    ----------
    id, anchor, href, thumbnail : str
        The picture, its place on the page, where its row leads, and its small copy.
    said : str
        The most probable class.
    points : float
        Its probability in percent.
    label : str or None
        The true class.
    right : str
        `right` or `wrong`; empty where the label is unknown or no class of the model.
    whole_verdict : str
    r2 : float or None
    strong : float or None
        The strongest coefficient as it is shown; None where no class is shown.
    """

    id: str
    anchor: str
    href: str
    thumbnail: str
    said: str
    points: float
    label: str | None
    right: str
    # What follows is unknown where no class of the picture is shown.
    whole_verdict: str
    r2: float | None = None
    strong: float | None = None

    @property
    def verdict(self) -> str:
        """The verdict as it is shown."""
        # The template marks the one word `trustworthy`, so that it stays as it is.
        if self.whole_verdict == TRUSTWORTHY:
            return self.whole_verdict
        return self.whole_verdict[:1].upper() + self.whole_verdict[1:]

    @property
    def verdict_kind(self) -> str:
        """The verdict without the details after its colon, to filter by."""
        return self.whole_verdict.partition(":")[0]


@dataclass(frozen=True)
class Region(Strength):
    """A region as it is drawn.

    Attributes
    ----------
    of : int
        How many regions the picture has.
    colour : str
        As `#rrggbb`.
    """

    of: int
    colour: str


@dataclass(frozen=True, kw_only=True)
class Side:
    """One explanation of one class of a picture.

    Attributes
    ----------
    label, prefix : str
        Whose it is, and what the names of its outlines begin with.
    segmentation : int
        Which of the report's segmentations it is of.
    quantity : Quantity
    scale : float
        End of its colour scale.
    verdict : str
    figures : mapping of str to float
        Figures of fidelity, NaN where there are none.
    probability : float
        Of the class, 0…1.
    distinct : int
        How many of the strongest segments the chance of the same set is about.
    regions : list of Region
        Strongest first.
    samples : int or None
    zero : str
        What a coefficient of 0 means.
    without_intervals : bool
        Whether only the bootstrap would give intervals.
    overlap : core.attribution.Overlap or None
        With the known region.
    zones : list of (str, float)
        Each zone's coefficient, times 100.
    agreement : dict or None
        With the report's own explanation.
    answer : (str, float) or None
        Another model's name and probability.
    """

    label: str
    prefix: str
    segmentation: int
    quantity: Quantity
    scale: float
    verdict: str
    figures: dict[str, float]
    probability: float
    distinct: int
    regions: list[Region]
    samples: int | None
    zero: str
    without_intervals: bool
    overlap: Any
    zones: list[tuple[str, float]]
    agreement: dict[str, Any] | None
    answer: tuple[str, float] | None
    # Templates ask every voice whether it is silent.
    silent: None = None

    @property
    def measured(self) -> bool:
        """Whether there are figures of fidelity."""
        return not math.isnan(self.figures["r2"])

    @property
    def repeats(self) -> bool:
        """Whether the chance of the same strongest regions is known."""
        return not math.isnan(self.figures["topk_repeat"])

    @property
    def intervals(self) -> bool:
        """Whether there are intervals: all regions have one, or none has."""
        return self.regions[0].known


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
    """One class of a picture: what everyone says of it."""

    name: str
    probability: float
    voices: list[Side | Silent]


@dataclass(frozen=True, kw_only=True)
class PictureShown:
    """A picture and its explanations.

    Attributes
    ----------
    id, anchor, image : str
        The picture, its place on the page, and where its copy is.
    inside : bool
        Whether the copy lies inside the page.
    size : int
        Its side in pixels.
    answers : list of Answer
        The most probable class first.
    label : str or None
        The true class, None when the dataset does not say.
    unchanged : int
        On how many regions the fill changes nothing.
    outlines : list of (str, list of str)
        For each segmentation what the names of its outlines begin with, and the outlines.
    truth : str or None
        The outline of the known region.
    classes : list of ClassShown
    """

    id: str
    anchor: str
    image: str
    inside: bool
    size: int
    answers: list[Answer]
    label: str | None
    unchanged: int
    outlines: list[tuple[str, list[str]]]
    truth: str | None
    classes: list[ClassShown]

    @property
    def answer(self) -> Sequence[Answer]:
        """The classes that are listed at first: all where they are few, else the most probable and the true one."""
        if len(self.answers) <= LISTED_CLASSES:
            return self.answers
        # The true class is always listed, however improbable the model finds it.
        probable, others = self.answers[:MOST_PROBABLE_LISTED], self.answers[MOST_PROBABLE_LISTED:]
        return [*probable, *(each for each in others if each.label)]

    @property
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
