"""What a check asks: the pictures without their strongest regions and without others, under several fills."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from facelime_cli.choices import FILLS, UNLIKE
from facelime_cli.predicting.run import DistinctMasks, padded
from facelime_cli.predicting.stand_ins import StandIns, usual_fill
from facelime_cli.store.explanations import masks_of
from facelime_cli.store.pictures import Segmented
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.console import Console
    from facelime_cli.core.checking import Questions
    from facelime_cli.engine import Context
    from facelime_cli.store.artifacts import Artifact

ALWAYS = (UNLIKE, "blur", "inpaint", "mean")
"""Fills under which every explanation is checked, so that verdicts mean the same for all."""
BY_SEGMENT = frozenset({"mean", "inpaint"})
"""Fills that depend on the segments."""
BITS = 8


@dataclass(frozen=True)
class Known:
    """What a fill needs to know of a whole dataset, see `StandIns.constants` and `StandIns.facts`.

    Attributes
    ----------
    arrays : mapping
        By name, a value for each picture.
    facts : mapping
    """

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]

    def read(self, name: str, rows: slice) -> NDArray[Any]:
        """Return some pictures of an array."""
        return self.arrays[name][rows]


@dataclass(frozen=True)
class StandIn:
    """One fill of a check.

    Attributes
    ----------
    name : str
        A key of `choices.FILLS`.
    made : Artifact or None
        Masks that hold it already.
    stand_ins : StandIns or None
        What makes it else.
    """

    name: str
    made: Artifact | None
    stand_ins: StandIns | None


def stand_ins_of(surrogates: Artifact) -> list[StandIn]:
    """Return the fills under which an explanation is checked: those of every check, then its own.

    Parameters
    ----------
    surrogates : Artifact

    Returns
    -------
    list of StandIn
        The default fill of datasets is left out where a picture has none of another class and patient.
    """
    from facelime_cli.core.fills import usual_sigma

    segments = Segmented(surrogates).segmentation
    masks = [each for each in masks_of(surrogates) if each.parameters.get("donor", 1) == 1]
    own = list(dict.fromkeys(str(each.parameters["fill"]) for each in masks))
    usual = [name for name in ALWAYS if name != UNLIKE or usual_fill(segments) == UNLIKE]
    size = segments.input("datasets").facts["size"]
    found = []
    for name in dict.fromkeys((*usual, *own)):
        made = next((each for each in masks if each.parameters["fill"] == name and _same(each, segments, name)), None)
        sigma = usual_sigma(size) if FILLS[name].needs == "sigma" else None
        found.append(StandIn(name, made, None if made else StandIns(FILLS[name], segments, seed=0, sigma=sigma)))
    # A file that the store does not keep can only be taken from masks.
    return [each for each in found if each.made or not FILLS[each.name].from_file]


def _same(masks: Artifact, segments: Artifact, fill: str) -> bool:
    """Return whether masks hold the very fill that these segments would have."""
    return fill not in BY_SEGMENT or masks.inputs["segmentation"]["digest"] == segments.content


def make_beforehand(
    context: Context, segments: Artifact, besides: Collection[str | None], processes: int | None
) -> None:
    """Make those fills of a check's first unit that take long and need no explanation; the check then finds them.

    Parameters
    ----------
    context : Context
        Its `fills` keeps them, by the content of the segments and the fill's name.
    segments : Artifact
        Those on which the explanation is checked.
    besides : collection of str
        Fills of the explanation, which are made with its masks.
    processes : int, optional
        How many make them.
    """
    # The read-ahead of the check hides the fills of its other units.
    rows = segments.rows(0)
    names = [name for name in ALWAYS if FILLS[name].slow and FILLS[name].needs is None and name not in besides]
    progress = context.console.progress("check: stand-ins", len(names) * (rows.stop - rows.start))
    with Workers(processes) as workers, progress as advance:
        for name in names:
            made = StandIns(FILLS[name], segments, seed=0).made(Known({}, {}), rows, workers, advance)
            context.fills[segments.content, name] = made


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How pictures are checked.

    Attributes
    ----------
    classes : callable
        Returns the classes to check of the picture in a row: a shard reads those of its own pictures alone.
    numbers : tuple of int
        How many of the strongest regions are taken away at once.
    sets : int
        How many sets of others they are compared with.
    seed : int
    versus : (int, int) or None
        Of a contrast, the two classes whose log-odds are told apart.
    values : bool
        Whether the model answers with values, which are compared as they are.
    """

    classes: Callable[[int], list[int]]
    numbers: tuple[int, ...]
    sets: int
    seed: int
    versus: tuple[int, int] | None
    values: bool = False


@dataclass
class Checked:
    """The source of `check`: an explanation's strongest regions, and sets of others, under several fills.

    Attributes
    ----------
    surrogates : Artifact
        The explanation.
    asked : Asked
    workers : Workers
        They make fills that take long.
    most_questions : int
        The largest number of masks of a picture, as the layout has it; it must be set before `parts`.
    console : Console
    beforehand : dict
        Fills that `make_beforehand` has made.
    """

    surrogates: Artifact
    asked: Asked
    console: Console
    beforehand: dict[Any, NDArray[np.uint8]] = field(default_factory=dict)
    workers: Workers = field(default_factory=lambda: Workers(1))
    most_questions: int = 0
    _known: dict[str, Known] = field(default_factory=dict)
    _classes: dict[int, list[int]] = field(default_factory=dict)
    _fills: dict[tuple[int, int], NDArray[np.uint8]] = field(default_factory=dict)

    @cached_property
    def segmentation(self) -> Artifact:
        """The segments of the pictures."""
        return Segmented(self.surrogates).segmentation

    @cached_property
    def stand_ins(self) -> list[StandIn]:
        """The fills."""
        return stand_ins_of(self.surrogates)

    def classes(self, row: int) -> list[int]:
        """Return the classes to check of a picture."""
        if row not in self._classes:
            self._classes[row] = self.asked.classes(row)
        return self._classes[row]

    @property
    def n_fills(self) -> int:
        """F."""
        return len(self.stand_ins)

    def n_questions(self, rows: slice) -> list[int]:
        """Return how many masks each of some pictures has, S."""
        from facelime_cli.core.checking import n_questions

        counts = self.segmentation.read("n_segments", rows).tolist()
        return [
            n_questions(count, len(self.classes(row)), self.asked.numbers, self.asked.sets)
            for row, count in enumerate(counts, rows.start)
        ]

    def n_samples(self, rows: slice) -> int:
        """Return how many samples some pictures have, all fills together."""
        return self.n_fills * sum(self.n_questions(rows))

    def questions(self, rows: slice) -> list[Questions]:
        """Return what is asked of each of some pictures."""
        from facelime_cli.core.checking import questions, strongest_first
        from facelime_cli.core.masks import key_of

        coefficients = self.surrogates.read("coefficients", rows)
        counts = self.segmentation.read("n_segments", rows).tolist()
        ids, found = self.surrogates.texts("id", rows), []
        for row, (picture, count, values) in enumerate(zip(ids, counts, coefficients, strict=True), rows.start):
            rankings = {c: strongest_first(values[c, :count]) for c in self.classes(row)}
            key = key_of(self.asked.seed, picture, "check")
            found.append(questions(rankings, count, self.asked.numbers, self.asked.sets, key))
        return found

    def masks(self, rows: slice) -> DistinctMasks:
        """Return the evaluations of some pictures: the same masks for each fill."""
        samples = [packed for each in self._packed(self.questions(rows)) for packed in [each] * self.n_fills]
        return DistinctMasks.of(samples)

    def _packed(self, asked: list[Questions]) -> list[NDArray[np.uint8]]:
        from facelime_cli.core.masks import pack

        return [pack(each.masks, self.n_bytes) for each in asked]

    @cached_property
    def n_bytes(self) -> int:
        """Bytes of a packed mask, as many as `perturb` gives it."""
        return -(-int(self.segmentation.read("n_segments").max()) // BITS)

    def fills(self, rows: slice) -> NDArray[np.uint8]:
        """Return what stands in: (n, F, H, W, 3)."""
        import numpy as np

        # A batch size is measured on the first picture alone, which is no unit.
        key = (rows.start, rows.stop)
        if key not in self._fills:
            made = [self._fill(each, rows) for each in self.stand_ins]
            self._fills[key] = np.stack(made, axis=1)
        return self._fills[key]

    def _fill(self, stand_in: StandIn, rows: slice) -> NDArray[np.uint8]:
        if stand_in.made is not None:
            return stand_in.made.read("fill", rows)
        assert stand_in.stand_ins is not None
        before = self.beforehand.get((self.segmentation.content, stand_in.name))
        if before is not None and rows.stop <= len(before):
            return before[rows]
        return stand_in.stand_ins.made(self._known_of(stand_in), rows, self.workers, lambda _: None)

    def _known_of(self, stand_in: StandIn) -> Known:
        if stand_in.name not in self._known:
            assert stand_in.stand_ins is not None
            constants = stand_in.stand_ins.constants(self.console)
            arrays = {name: values for name, (values, _) in constants.items()}
            self._known[stand_in.name] = Known(arrays, stand_in.stand_ins.facts())
        return self._known[stand_in.name]

    def fill_rows(self) -> NDArray[np.int32]:
        """Return the row of the dataset that stands in for each picture, -1 where no picture does: (N,)."""
        import numpy as np

        for each in self.stand_ins:
            if each.name == UNLIKE:
                if each.made is not None:
                    return each.made.read("fill_row")
                return self._known_of(each).arrays["fill_row"]
        return np.full(self.surrogates.n, -1, np.int32)

    def parts(self, rows: slice, answers: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Return what a unit writes into every array."""
        import numpy as np

        asked = self.questions(rows)
        n_samples = self.most_questions
        starts = range(0, len(answers), self.n_fills)
        n_classes = len(self.surrogates.input("models").facts["classes"])
        # What the members of a mean say beside it decides no verdict.
        own = [each[:, :n_classes] for each in answers]
        by_picture = [np.stack(own[first : first + self.n_fills]) for first in starts]
        judged = [self._judged(row, *each) for row, each in enumerate(zip(asked, by_picture, strict=True), rows.start)]
        every: dict[str, NDArray[Any]] = {name: np.stack([each[name] for each in judged]) for name in judged[0]}
        packed = [np.pad(each, ((0, n_samples - len(each)), (0, 0))) for each in self._packed(asked)]
        shape = (len(asked), self.n_fills, n_samples, -1)
        every |= {
            "masks": np.stack(packed),
            "n_samples": np.array([len(each.masks) for each in asked], np.int32),
            "fill": self.fills(rows),
            "probabilities": padded(answers, n_samples).reshape(shape),
        }
        self._fills.pop((rows.start, rows.stop), None)
        self.beforehand.clear()
        return every

    def _judged(self, row: int, asked: Questions, answers: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return the verdict on a picture, and what it is made from; `answers` is (F, S, C)."""
        import numpy as np

        from facelime_cli.core import checking
        from facelime_cli.core.verdict import (
            NO_ORDER,
            NO_ORDER_OF_VALUES,
            after_check,
            after_check_of_values,
            least_of_values,
        )

        one = slice(row, row + 1)
        coefficients = self.surrogates.read("coefficients", one)[0]
        before = self.surrogates.read("verdict", one)[0]
        n_classes, numbers = len(coefficients), self.asked.numbers
        per_class = (n_classes, len(numbers), self.n_fills)
        found = {
            "effect": np.full(per_class, np.nan),
            "p_value": np.full(per_class, np.nan),
            "curve": np.full((n_classes, self.n_fills, 2, len(checking.CURVE)), np.nan, np.float32),
            "area": np.full((n_classes, self.n_fills, 2), np.nan),
            "regions": np.full((n_classes, max(numbers)), -1, np.int32),
            "verdict": np.full(n_classes, "", dtype=object),
        }
        if self.asked.values:
            found["least_effect"] = np.full(n_classes, np.nan)
        count = asked.masks.shape[1]
        for c in self.classes(row):
            # Of equal regions none is the strongest, and a verdict would be about their numbers.
            if count > 1 and not np.ptp(coefficients[c, :count]):
                found["verdict"][c] = NO_ORDER_OF_VALUES if self.asked.values else NO_ORDER
                continue
            evidence, answer = self._of_class(answers, c)
            effect, p_value = checking.judged(asked, evidence, c, numbers)
            found["effect"][c], found["p_value"][c] = effect, p_value
            found["curve"][c] = answer[:, asked.curves[c]]
            found["area"][c] = checking.areas(found["curve"][c], answer[:, 0])
            strongest = checking.strongest_first(coefficients[c, :count])[: max(numbers)]
            found["regions"][c, : len(strongest)] = strongest
            if self.asked.values:
                found["least_effect"][c] = least_of_values(evidence)
                found["verdict"][c] = after_check_of_values(str(before[c]), evidence, effect, p_value, numbers)
            else:
                found["verdict"][c] = after_check(str(before[c]), evidence, effect, p_value, numbers)
        return found

    def _of_class(self, answers: NDArray[np.float32], c: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return the log-odds of a class, and its probability; or a value twice: both (F, S)."""
        from facelime_cli.core.checking import log_odds

        if self.asked.values:
            one, other = self.asked.versus or (c, None)
            value = answers[..., one] - (0 if other is None else answers[..., other])
            return value.astype("float64"), value
        if self.asked.versus is None:
            return log_odds(answers)[..., c], answers[..., c]
        one, other = self.asked.versus
        # Of two classes, the odds of one against the other.
        both = answers[..., [one, other]].astype("float64")
        share = both[..., 0] / both.sum(axis=-1).clip(min=1e-30)
        return log_odds(share), answers[..., one] - answers[..., other]
