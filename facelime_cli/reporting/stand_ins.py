"""What stands where a region is off, as a reader sees it: beside each picture, and in pictures that were composed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.choices import FILLS, UNLIKE
from facelime_cli.core import labels
from facelime_cli.core.compose import composed
from facelime_cli.reporting.explanations import listed
from facelime_cli.store.pictures import RowReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.store.artifacts import Artifact

    Pixels = NDArray[np.uint8]

REMOVED = 3
"""How many of the strongest regions are missing in a composed example, where the check took so many away."""
FEWEST_SHARED = 3
"""From how many patients on that share one stand-in it is said."""
SHARED = 0.25
"""And from which share of all patients on."""

ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth"}


@dataclass(frozen=True)
class StandIn:
    """What stands where a region of a picture is off.

    Attributes
    ----------
    fill : str
        A key of `choices.FILLS`.
    words : str
        What it is.
    own : bool
        Whether the explanation used it; otherwise only the check did.
    source : Artifact
        Masks, or a check: its array `fill` has the picture.
    row : int
        The picture, as the source numbers it.
    place : int or None
        Which of a check's fills.
    reader : RowReader
        Reads it; the same for all pictures, since one unit has many.
    """

    fill: str
    words: str
    own: bool
    source: Artifact
    row: int
    place: int | None = None
    reader: RowReader = field(default_factory=RowReader, repr=False, compare=False)

    def picture(self) -> Pixels:
        """Return it.

        Returns
        -------
        (H, W, 3) uint8 array
        """
        found = self.reader.read(self.source, "fill", self.row)
        return np.asarray(found if self.place is None else found[self.place])


@dataclass(frozen=True)
class Example:
    """A picture without its strongest regions, and the model's answer to it.

    Attributes
    ----------
    stand_in : StandIn
    regions : list of int
        The regions that are off, the strongest first.
    before, after : float
        The model's answer with these regions and without them: the probability of the class, or the value.
    """

    stand_in: StandIn
    regions: list[int]
    before: float
    after: float


class StandIns:
    """What stood in for the regions of some explanations.

    Parameters
    ----------
    explanations : Explanations
    people : bool
        Whether pictures of other people may be shown.
    """

    def __init__(self, explanations: Explanations, *, people: bool) -> None:
        self._explanations, self._people = explanations, people
        dataset = explanations.dataset
        self._classes: list[str] = dataset.facts["classes"]
        self._reader = RowReader()

    @property
    def left_out(self) -> bool:
        """Whether some are not shown, since they are pictures of other people."""
        check = self._explanations.check
        used = {*self._explanations.fills, *(check.fills if check else ())}
        return not self._people and any(FILLS[fill].real for fill in used)

    def of(self, row: int) -> list[StandIn]:
        """Return what stands in for a picture's regions, each once, those of the explanation first.

        Parameters
        ----------
        row : int
        """
        found: dict[tuple[str, int], StandIn] = {}
        for each in (*self._of_check(row), *self._of_runs(row)):
            donor = self._donor(each.source, row) if each.fill == UNLIKE else -1
            found.setdefault((each.fill, donor), each)
        shown = [each for each in found.values() if self._people or not FILLS[each.fill].real]
        # Several donors stand together.
        order = list(dict.fromkeys(each.fill for each in shown))
        return sorted(shown, key=lambda each: (not each.own, order.index(each.fill)))

    def _of_check(self, row: int) -> list[StandIn]:
        check = self._explanations.check
        if check is None:
            return []
        return [
            StandIn(
                fill,
                self._words(fill, check.artifact, row),
                fill in check.own,
                check.artifact,
                row,
                place,
                self._reader,
            )
            for place, fill in enumerate(check.fills)
        ]

    def _of_runs(self, row: int) -> list[StandIn]:
        found = []
        for run in self._explanations.runs:
            if run.masks is not None and run.fill is not None:
                words = self._words(run.fill, run.masks, row)
                found.append(StandIn(run.fill, words, own=True, source=run.masks, row=row, reader=self._reader))
        return found

    def _words(self, fill: str, source: Artifact, row: int) -> str:
        """Return what a fill is for one picture, in plain words."""
        donor = self._donor(source, row) if fill == UNLIKE else -1
        if donor < 0:
            return FILLS[fill].stands
        place = source.parameters.get("donor") or 1
        which = "" if place == 1 else f"{ORDINALS.get(place, f'{place}th')} "
        return f"the {which}most similar picture {self._kind(row, donor)} (another patient)"

    def _kind(self, row: int, donor: int) -> str:
        """Return in words what tells a donor from its picture: its class, or the findings that it has not."""
        theirs = labels.present(self._labels[donor], self._classes)
        if self._labels.ndim < labels.SEVERAL:
            return f"of class {listed(theirs)}"
        own = labels.present(self._labels[self._rows[row]], self._classes)
        return f"without {listed(own)}" if own else f"with {listed(theirs)}"

    def _donor(self, source: Artifact, row: int) -> int:
        """Return the row of the dataset that stands in for a picture, -1 for none."""
        if not source.has("fill_row"):
            return -1
        return int(self._reader.read(source, "fill_row", row))

    @cached_property
    def _labels(self) -> NDArray[np.integer]:
        return self._explanations.dataset.read("labels")

    # Composed examples

    def examples(self, row: int, c: int) -> list[Example]:
        """Return the picture without its strongest regions, under each fill of the check.

        Parameters
        ----------
        row, c : int
            The picture and the class.

        Returns
        -------
        list of Example
            Empty where nothing was checked.
        """
        check = self._explanations.check
        if check is None:
            return []
        number = REMOVED if REMOVED in check.numbers else max(check.numbers)
        off = check.strongest(row, c)[:number]
        n_segments = self._explanations.counts[row]
        before, after = (check.answers(row, regions, n_segments) for regions in ([], off))
        if not off or before is None or after is None:
            return []
        explained = [self.explained(answers, c) for answers in (before, after)]
        return [
            Example(each, off, *(float(values[each.place]) for values in explained))
            for each in self._of_check(row)
            if each.place is not None and (self._people or not FILLS[each.fill].real)
        ]

    def explained(self, answers: NDArray[np.floating[Any]], c: int) -> NDArray[np.float64]:
        """Return what is explained of the model's answers: one of them, or the difference of two.

        Parameters
        ----------
        answers : (..., C) float array
        c : int
            The class.

        Returns
        -------
        (...) float64 array
        """
        contrast = self._explanations.contrast
        if contrast is None:
            return np.asarray(answers[..., c], np.float64)
        one, other = contrast
        return np.asarray(answers[..., one] - answers[..., other], np.float64)

    def composed(self, example: Example) -> Pixels:
        """Return the picture that the model saw.

        Parameters
        ----------
        example : Example

        Returns
        -------
        (H, W, 3) uint8 array
        """
        explanations, row = self._explanations, example.stand_in.row
        kept = np.ones((1, explanations.counts[row]), np.bool_)
        kept[0, example.regions] = False
        fill = example.stand_in.picture()
        return np.asarray(composed(explanations.image(row), fill, explanations.segments(row), kept)[0])

    # The data set

    @cached_property
    def sharing(self) -> str:
        """A sentence where one picture stands in for many, empty otherwise."""
        sources = [] if self._explanations.check is None else [self._explanations.check.artifact]
        sources += [run.masks for run in self._explanations.runs if run.masks is not None]
        with_donors = [each for each in sources if each.has("fill_row")]
        if not with_donors:
            return ""
        # Patients, and not pictures: two pictures of one patient share a stand-in with good reason.
        groups = np.array(self._explanations.dataset.texts("group"), dtype=str)[self._rows]
        pairs = {
            (int(donor), group)
            for each in with_donors
            for donor, group in zip(each.read("fill_row"), groups.tolist(), strict=True)
            if donor >= 0
        }
        if not pairs:
            return ""
        most = max(Counter(donor for donor, _ in pairs).values())
        return shared_by(most, len(set(groups.tolist())))

    @property
    def _rows(self) -> NDArray[np.int32]:
        return self._explanations.segmentation.read("row")


def shared_by(most: int, patients: int) -> str:
    """Return a sentence for one picture that stands in for many patients, empty where it is few.

    Parameters
    ----------
    most : int
        For how many patients the picture stands in that stands in most often.
    patients : int
        How many there are.

    Examples
    --------
    >>> shared_by(5, 8), shared_by(2, 8)
    ('One picture stands in for 5 of 8 patients.', '')
    """
    if most < FEWEST_SHARED or most < SHARED * patients:
        return ""
    return f"One picture stands in for {most} of {patients} patients."


def words_of(examples: Sequence[Example]) -> str:
    """Return which regions are missing in some examples, all of the same picture and class.

    Parameters
    ----------
    examples : sequence of Example
        At least one.
    """
    regions = examples[0].regions
    numbers = ", ".join(str(each) for each in regions)
    return f"without {'region' if len(regions) == 1 else 'regions'} {numbers}"
