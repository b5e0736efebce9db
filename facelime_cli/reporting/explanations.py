"""Explanations as a reader asks for them: what some surrogates say, and what they are about, picture by picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering.runtimes import answers_values, independent, unit_of
from facelime_cli.answering.several import LABEL_COLUMN
from facelime_cli.choices import FILLS, SURROGATES
from facelime_cli.core import labels
from facelime_cli.core.findings import HALF
from facelime_cli.core.members import differing
from facelime_cli.core.verdict import known
from facelime_cli.names import row_of
from facelime_cli.reporting.checks import Check, known_number
from facelime_cli.reporting.quantities import (
    PERCENT,
    QUANTITIES,
    SHARE_OF_VALUE,
    Quantity,
    Spoken,
    of_values,
    spoken_of,
)
from facelime_cli.reporting.runs import Run, explained_by, method_of
from facelime_cli.store import familiarity
from facelime_cli.store.explanations import views_of
from facelime_cli.store.pictures import RowReader, Segmented, classes_in, names_classes, number_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from facelime_cli.core.members import Differing
    from facelime_cli.reporting.checks import Confirmation
    from facelime_cli.store.artifacts import Artifact

COLUMNS = ("id", "class", "rank", "segment", "coefficient", "low", "high", "p_sign", "pixels")
"""Heading of the table of coefficients."""
N_NAMING_COLUMNS = 2
"""The first columns of the table say of which picture and class a row is; the others are of its segment."""
SHARE = "share"
"""The unit of coefficients that are shares of a map."""
OF_MAPS = ("gradcam", "import-maps")
"""Stages whose coefficients are such shares."""
FIGURES = ("r2", "rmse", "effective_samples", "topk_repeat", "local_prediction")
IMAGES_AT_ONCE = 8
"""Pictures that are read together, since readers go from one to the next: opening an array costs more than one more."""
MOST_PROBABLE = 2
"""How many of a picture's most probable classes are explained where none is asked for; its true one as well.

Where probabilities are independent, all of at least 0.5 are.
"""


@dataclass(frozen=True)
class Strength:
    """One segment's coefficient as it is shown.

    Attributes
    ----------
    segment, rank : int
        The segment's number, and its place from the strongest, counted from 1.
    value, low, high : float
        The coefficient and its 95 % interval, times 100; those of values as they are. NaN where there is no interval.
    sure : float
        The chance of the sign in percent, NaN where there is no interval.
    pixels : int
        The segment's size.
    votes : int or None
        Views whose interval lies on this side of 0; None where there are no views.
    """

    segment: int
    rank: int
    value: float
    low: float
    high: float
    sure: float
    pixels: int
    votes: int | None

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)

    @property
    def unsure(self) -> bool:
        """Whether the interval holds 0, so that the sign may be chance."""
        return self.known and self.low <= 0 <= self.high


class Explanations:
    """What some surrogates, of whatever stage, say of their pictures.

    Parameters
    ----------
    surrogates : Artifact
        Of kind `surrogates`.
    check : Artifact, optional
        Of kind `checks`: what the model answered when these surrogates were checked.

    Attributes
    ----------
    check : Check or None
    segmentation, model, dataset : Artifact
        What the explanations are about; of a consensus the segmentation is its carrier.
    runs : list of Run
        The views of a consensus, else the one run.
    masks, predictions : Artifact or None
        What they come from, where they come from samples of one run.
    fitted_as : Artifact
        The surrogates whose parameters say how these were fitted: themselves, or those that a contrast was made from.
    names : list of str
        The classes that are explained.
    answer_names : list of str
        The classes of the model's answers. A contrast explains differences of these.
    ids : list of str
        Of the pictures.
    values : bool
        Whether the model answers with values: then its classes are the names of these.
    """

    def __init__(self, surrogates: Artifact, check: Artifact | None = None) -> None:
        self.surrogates = surrogates
        self.segmentation = surrogates.input("segments")
        self.model = surrogates.input("models")
        self._pictures = Segmented(surrogates)
        self.dataset = self._pictures.dataset
        joined = surrogates.has("votes")
        self.runs = [Run.of(each) for each in (views_of(surrogates) if joined else [surrogates])]
        alone = None if joined else self.runs[0]
        self.masks = None if alone is None else alone.masks
        self.predictions = None if alone is None else alone.predictions
        self.fitted_as = surrogates if alone is None else alone.fitted_as
        self.names: list[str] = surrogates.facts["classes"]
        answering = self.predictions or surrogates
        self.answer_names: list[str] = answering.facts["classes"]
        self.ids = surrogates.texts("id")
        self.values = answers_values(self.model)
        self._reader = RowReader()
        self._images: tuple[int, NDArray[np.uint8]] | None = None
        self.check = None if check is None else Check(check, self.spoken)

    @classmethod
    def of(cls, artifact: Artifact) -> Explanations:
        """Return the explanations that an artifact stands for.

        Parameters
        ----------
        artifact : Artifact
            Surrogates, a check of some, or a report of `render`.
        """
        return cls(*explained_by(artifact))

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.ids)

    def _of(self, artifact: Artifact, name: str, row: int) -> Any:
        """Return one picture's part of an array."""
        return self._reader.read(artifact, name, row)

    @cached_property
    def counts(self) -> list[int]:
        """How many segments each picture has."""
        return [int(count) for count in self.segmentation.read("n_segments")]

    @property
    def fitted(self) -> bool:
        """Whether a surrogate was fitted to predictions, rather than a map of gradients pooled."""
        if self.predictions is None:
            return False
        # An intercept is what a fit leaves behind; methods that fit nothing keep it NaN.
        intercepts = self.surrogates.read("intercept", slice(0, 1))
        return bool(np.isfinite(intercepts).all())

    @property
    def method(self) -> str:
        """What the explanations are called, such as LIME."""
        return method_of(self.surrogates)

    @property
    def shares(self) -> bool:
        """Whether coefficients are shares of a map, and in no unit of the model's answers."""
        # A unit of values may be called so too.
        is_share = self.surrogates.spec("coefficients").measure == SHARE
        return is_share and (not self.values or self.surrogates.stage in OF_MAPS)

    @cached_property
    def quantity(self) -> Quantity:
        """What the coefficients are."""
        reads = self.surrogates.facts.get("reads")
        if self.values and not self.shares:
            return of_values(unit_of(self.model), self._largest, reads)
        quantity = SHARE_OF_VALUE if self.values else QUANTITIES[self.surrogates.spec("coefficients").measure]
        return replace(quantity, reads=reads or quantity.reads)

    @cached_property
    def spoken(self) -> Spoken:
        """How the model's answers are written."""
        # Changes must be told apart, also where they are small beside the value itself.
        in_unit = self.values and not self.shares
        if in_unit or not self.values:
            # How probabilities are written depends on none of them, so that no answer is read for it.
            return spoken_of(self.model, self._largest if in_unit else 1.0)
        return spoken_of(self.model, float(np.abs(self.answers).max()))

    @property
    def _largest(self) -> float:
        """The largest coefficient in size, over all pictures."""
        coefficients = self.surrogates.read("coefficients")
        known = coefficients[np.isfinite(coefficients)]
        return float(np.abs(known).max()) if known.size else 0.0

    @property
    def n_views(self) -> int | None:
        """How many views they were joined from; None where there was one run alone."""
        return len(self.runs) if self.surrogates.has("votes") else None

    @cached_property
    def fills(self) -> list[str]:
        """What stood in for regions, keys of `choices.FILLS`; empty where nothing was replaced."""
        return list(dict.fromkeys(run.fill for run in self.runs if run.fill is not None))

    @property
    def compared_with(self) -> str:
        """What the picture was compared with, in plain words; empty where nothing was replaced."""
        return listed([FILLS[fill].stands for fill in self.fills])

    @property
    def contrast(self) -> tuple[int, int] | None:
        """The two classes, among `answer_names`, whose difference of probabilities is explained.

        None where the probability of one class is explained.
        """
        made = self.surrogates.parameters
        return (made["class"], made["versus"]) if "versus" in made else None

    @property
    def zero(self) -> str:
        """What a coefficient of exactly 0 means."""
        if self.shares:
            return "not in the map"
        return "left out by this surrogate" if _without_intervals(self.fitted_as) else "no influence"

    @property
    def without_intervals(self) -> bool:
        """Whether only the bootstrap gives this surrogate intervals, and it was not asked for."""
        made = self.fitted_as.parameters
        return _without_intervals(self.fitted_as) and made["intervals"] != "bootstrap"

    @cached_property
    def _told(self) -> tuple[Sequence[str], NDArray[np.integer]]:
        """The classes or findings of which the dataset tells, and what it says of each of its pictures."""
        column = self.model.facts.get(LABEL_COLUMN)
        if names_classes(self.dataset, column, self.model.facts["classes"]):
            return classes_in(self.dataset, str(column))
        return self.dataset.facts["classes"], self.dataset.read("labels")

    @property
    def _labels(self) -> NDArray[np.integer]:
        return self._told[1]

    @cached_property
    def full(self) -> NDArray[np.float32]:
        """What is explained of each unchanged picture, mostly the model's probabilities: (N, C)."""
        # A contrast keeps what it explains, a difference of probabilities, beside its coefficients.
        return self.surrogates.read("probabilities") if self.surrogates.has("probabilities") else self.answers

    @cached_property
    def answers(self) -> NDArray[np.float32]:
        """The model's probabilities of the classes `answer_names` for each unchanged picture: (N, C)."""
        if self.predictions is None:
            return self.surrogates.read("probabilities")
        unchanged = []
        for unit in range(self.predictions.n_units):
            probabilities = self.predictions.read("probabilities", self.predictions.rows(unit))
            # Mask 0 keeps every segment. The copy lets go of the other samples, which may be large.
            unchanged.append(probabilities[:, 0].copy())
        return np.concatenate(unchanged)

    def answers_of(self, row: int) -> NDArray[np.float32]:
        """Return the model's answers for one unchanged picture, without reading those for all.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        (C,) float32 array
            As a row of `answers`.
        """
        if self.predictions is None or "answers" in vars(self):
            return np.asarray(self.answers[row])
        return np.asarray(self._of(self.predictions, "probabilities", row)[0])

    def explained_of(self, row: int) -> NDArray[np.float32]:
        """Return what is explained of one unchanged picture.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        (C,) float32 array
            As a row of `full`.
        """
        return np.asarray(self.full[row]) if self.surrogates.has("probabilities") else self.answers_of(row)

    @cached_property
    def distances(self) -> list[float] | None:
        """How far each picture is from what the model learned from, in multiples of its 99th percentile.

        None where the model keeps no summary of that, and for methods without predictions.
        """
        asked = [run.predictions for run in self.runs if run.predictions is not None]
        return familiarity.distances_of(asked[0]) if asked else None

    def image(self, row: int) -> NDArray[np.uint8]:
        """Return a picture.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        (H, W, 3) uint8 array
        """
        first = row - row % IMAGES_AT_ONCE
        if self._images is None or self._images[0] != first:
            rows = range(first, min(first + IMAGES_AT_ONCE, len(self)))
            self._images = first, self._pictures.images(list(rows))
        return np.asarray(self._images[1][row - first])

    def segments(self, row: int) -> NDArray[np.uint16]:
        """Return a picture's segments.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        (H, W) uint16 array
        """
        return np.asarray(self._of(self.segmentation, "segments", row))

    def truth(self, row: int) -> NDArray[np.uint8] | None:
        """Return where an explanation should point.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        (H, W) uint8 array or None
            None when the dataset does not say.
        """
        if not self.dataset.has("truth"):
            return None
        dataset_row = int(self._pictures.dataset_rows[row])
        return np.asarray(self.dataset.read("truth", [dataset_row])[0])

    @property
    def several(self) -> bool:
        """Whether a picture of the dataset may have several findings, so that no class excludes another."""
        return self._labels.ndim == labels.SEVERAL

    @property
    def independent(self) -> bool:
        """Whether the model's probabilities stand for themselves and need not add up to 1."""
        return independent(self.model)

    def _label(self, row: int) -> NDArray[np.integer]:
        """Return what the dataset says of a picture: () the number of its class, or (L,) of its findings."""
        return np.asarray(self._labels[self._pictures.dataset_rows[row]])

    def label(self, row: int) -> str | None:
        """Return a picture's true class, or its findings.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        str or None
            Several findings stand in one text. None when the dataset does not say, and for values, see `true_value`.
        """
        if self.values:
            return None
        return labels.words(self._label(row), self._told[0])

    def holds(self, row: int, name: str) -> bool | None:
        """Return whether a picture is of a class, or has a finding.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        name : str
            Of the class.

        Returns
        -------
        bool or None
            None when the dataset does not say.
        """
        if self.values:
            return None
        names, label = self._told[0], self._label(row)
        if name in labels.present(label, names):
            return True
        if not self.several:
            return None if int(label) < 0 else False
        return False if name in names and label[names.index(name)] == labels.ABSENT else None

    def true(self, row: int) -> list[int]:
        """Return a picture's true classes that are explained.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        list of int
            Places in `names`.
        """
        if self.values:
            return []
        found = labels.present(self._label(row), self._told[0])
        # A name that two classes have says of neither that it is the true one.
        return [self.names.index(name) for name in found if self.names.count(name) == 1]

    def true_value(self, row: int, name: str) -> float | None:
        """Return what a table column of a value's name says of a picture.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        name : str
            Of the value.

        Returns
        -------
        float or None
            None when the dataset does not say.
        """
        if not self.values or name not in number_columns(self.dataset):
            return None
        value = float(self.dataset.read(f"table/{name}", [int(self._pictures.dataset_rows[row])])[0])
        return value if math.isfinite(value) else None

    def said(self, row: int) -> list[int]:
        """Return the classes that the model gives a picture.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        list of int
            Places in `names`: the most probable class. Where probabilities are independent, all classes of at least
            0.5, the most probable first; the most probable one where there is none. Every value.
        """
        if self.values:
            return list(range(len(self.names)))
        # Of a contrast, what is explained is no probability.
        called = self.called(row) if self.contrast is None else []
        return called or [int(self.explained_of(row).argmax())]

    def called(self, row: int) -> list[int]:
        """Return what the model calls in a picture.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        list of int
            Places in `answer_names`: the most probable class. Where probabilities are independent, all classes of at
            least 0.5, the most probable first; maybe none. Every value.
        """
        answers = self.answers_of(row)
        if self.values:
            return list(range(len(answers)))
        if not self.independent:
            return [int(answers.argmax())]
        falling = (-answers).argsort(kind="stable")
        return [int(c) for c in falling if answers[c] >= HALF]

    def right(self, row: int) -> dict[str, bool]:
        """Return about which classes of a picture the model is right.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        dict
            By the findings that both the model and the dataset know of this picture. Where a picture has one class, by
            this class, if the model knows it. No value is right or wrong.
        """
        if self.values:
            return {}
        names, label = self._told[0], self._label(row)
        called = {self.answer_names[c] for c in self.called(row)}
        known = dict.fromkeys(labels.present(label, names), True)
        if self.several:
            known |= {name: False for name, state in zip(names, label, strict=True) if state == labels.ABSENT}
        return {name: (name in called) == known[name] for name in self.answer_names if name in known}

    def coefficients(self, row: int, c: int) -> NDArray[np.float64]:
        """Return the coefficients of a picture's segments.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        (K,) float64 array
            NaN where the class was not explained.
        """
        coefficients = self._of(self.surrogates, "coefficients", row)
        return np.asarray(coefficients[c, : self.counts[row]])

    def figures(self, row: int, c: int) -> dict[str, float]:
        """Return the figures of fidelity.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        dict
            By name, `FIGURES`; NaN where the surrogates have none.
        """
        return {name: float(self._of(self.surrogates, name, row)[c]) for name in FIGURES}

    def verdict(self, row: int, c: int) -> str:
        """Return what the check found, or what the figures mean where there was none, in words.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.
        """
        after = "" if self.check is None else self.check.verdict(row, c)
        return after or known(str(self._of(self.surrogates, "verdict", row)[c]))

    def confirmation(self, row: int, c: int) -> Confirmation | None:
        """Return what the model answered without the strongest regions.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        Confirmation or None
            None where the class was not checked.
        """
        return None if self.check is None else self.check.confirmation(row, c)

    def members(self, row: int, c: int) -> Differing | None:
        """Return what the networks say whose mean the model is.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        Differing or None
            None for a model of one network, and where no check has asked them.
        """
        answers = None if self.check is None else self.check.members(row)
        return None if answers is None else differing(answers, self.counts[row], c, self.contrast)

    def called_by_members(self, row: int) -> set[tuple[int, ...]]:
        """Return what the networks call in a picture whose mean the model is: each set of classes once.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        """
        answers = None if self.check is None else self.check.members(row)
        if answers is None:
            return set()
        # The first mask keeps all, whatever stands in.
        each = answers[0, 0]
        if self.independent:
            return {tuple(np.flatnonzero(of_one >= HALF).tolist()) for of_one in each}
        return {(int(of_one.argmax()),) for of_one in each}

    def votes(self, row: int, c: int) -> list[int] | None:
        """Return in how many views each segment's interval lies on the coefficient's side of 0.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        list of K int or None
            None where there are no views.
        """
        if not self.surrogates.has("votes"):
            return None
        votes = self._of(self.surrogates, "votes", row)[c, : self.counts[row]]
        return [int(each) for each in votes]

    def first_by_fill(self, row: int, c: int) -> dict[str, int]:
        """Return which segment speaks most for a class, by what stood in.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        dict
            From keys of `choices.FILLS` to segments; empty where there are no views.
        """
        if not self.surrogates.has("first"):
            return {}
        first = self._of(self.surrogates, "first", row)[c]
        return {fill: int(k) for fill, k in zip(self.surrogates.facts["fills"], first, strict=True)}

    def interval(self, row: int, c: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the intervals of a picture's coefficients.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        (K, 2) float64 array
            The 95 % intervals, NaN where there are none.
        (K,) float64 array
            The chances of the signs, 0…1, NaN where there is no interval.
        """
        count = self.counts[row]
        interval = self._of(self.surrogates, "interval", row)[c, :count]
        p_sign = self._of(self.surrogates, "p_sign", row)[c, :count]
        return np.asarray(interval), np.asarray(p_sign)

    def samples(self, row: int) -> int | None:
        """Return how many samples an explanation comes from.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        int or None
            Those of all views of a consensus. None when it comes from none: of masks, occlusion takes the fill alone.
        """
        sampled = [run.masks for run in self.runs if run.masks is not None and run.predictions is not None]
        if not sampled:
            return None
        return sum(int(self._of(masks, "n_samples", row)) for masks in sampled)

    def unchanged(self, row: int) -> int:
        """Return on how many segments no fill changes anything, so that they must look unimportant.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        """
        from facelime_cli.core.fills import unchanged

        # Methods that follow gradients replace nothing by a fill.
        fills = [self._of(run.masks, "fill", row) for run in self.runs if run.masks is not None]
        if not fills:
            return 0
        image, segments = self.image(row), self.segments(row)
        return int(np.all([unchanged(image, fill, segments) for fill in fills], axis=0).sum())

    def shown(self, row: int, chosen: Sequence[int] | None) -> list[int]:
        """Return the classes to show of a picture.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        chosen : sequence of int or None
            Classes among `names`. None shows the picture's most probable ones, and its true one.

        Returns
        -------
        list of int
            Only classes that were explained.
        """
        wanted = self._default_classes(row) if chosen is None else chosen
        return [c for c in wanted if not np.isnan(self.coefficients(row, c)).any()]

    def _default_classes(self, row: int) -> list[int]:
        """Return a picture's most probable classes and its true ones."""
        wanted = self.said(row)
        if not self.independent and not self.values:
            by_probability = self.explained_of(row).argsort(kind="stable")[::-1]
            wanted = [int(c) for c in by_probability[:MOST_PROBABLE]]
        return list(dict.fromkeys([*wanted, *self.true(row)]))

    def strengths(self, row: int, c: int) -> list[Strength]:
        """Return every segment's coefficient as it is shown, strongest first.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.
        """
        coefficients = self.coefficients(row, c)
        interval, p_sign = self.interval(row, c)
        votes = self.votes(row, c)
        pixels = np.bincount(self.segments(row).ravel(), minlength=len(coefficients))
        # A stable order: of equal coefficients the segment with the lower number is first, on every machine.
        order = (-np.abs(coefficients)).argsort(kind="stable")
        found = []
        for rank, k in enumerate(order.tolist(), start=1):
            low, high = interval[k]
            each = Strength(
                segment=k,
                rank=rank,
                value=self.quantity.times * float(coefficients[k]),
                low=self.quantity.times * float(low),
                high=self.quantity.times * float(high),
                sure=PERCENT * float(p_sign[k]),
                pixels=int(pixels[k]),
                votes=None if votes is None else votes[k],
            )
            found.append(each)
        return found

    def rows(self, row: int, c: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the table of coefficients for one picture and class, strongest first.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Yields
        ------
        tuple
            As `COLUMNS`: in the array's own unit, empty text where there is no interval.
        """
        coefficients = self.coefficients(row, c)
        interval, p_sign = self.interval(row, c)
        for each in self.strengths(row, c):
            k = each.segment
            # Unlike what is shown, the table is for computing on: no rounding, no times 100.
            bounds = (*interval[k], p_sign[k])
            known = ["" if math.isnan(value) else float(value) for value in bounds]
            yield self.ids[row], self.names[c], each.rank, k, float(coefficients[k]), *known, each.pixels

    def overlap(self, row: int, c: int) -> Any:
        """Return how much of an explanation lies where it should point.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        core.attribution.Overlap or None
            None when the dataset does not say where that is.
        """
        from facelime_cli.core.attribution import overlap

        truth = self.truth(row)
        if truth is None:
            return None
        return overlap(self.coefficients(row, c), self.segments(row), truth)

    def row(self, name: str) -> int:
        """Return the place of a picture.

        Parameters
        ----------
        name : str
            The picture's id, or the id's last part where that is enough.
        """
        return row_of(name, self.ids)

    def as_json(self, row: int, c: int) -> dict[str, Any]:
        """Return everything that is known of one explanation as JSON values.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        dict
            In the array's own unit; None where there is no figure.
        """
        figures = {name: None if math.isnan(value) else value for name, value in self.figures(row, c).items()}
        # JSON knows neither NaN nor empty numbers.
        names = COLUMNS[N_NAMING_COLUMNS:]
        regions = []
        for each in self.rows(row, c):
            values = [None if value == "" else value for value in each[N_NAMING_COLUMNS:]]
            regions.append(dict(zip(names, values, strict=True)))
        return {
            "class": self.names[c],
            self.spoken.what: float(self.explained_of(row)[c]),
            **self._answered(row, c),
            **figures,
            "samples": self.samples(row),
            "regions": regions,
        }

    def _answered(self, row: int, c: int) -> dict[str, Any]:
        """Return verdict, effect and p value as JSON values."""
        found = self.confirmation(row, c)
        effect, p_value = (None, None) if found is None else (found.mean_effect, found.worst_p)
        return {"verdict": self.verdict(row, c), "effect": effect, "p_value": p_value}

    def ranked_json(self, row: int, c: int) -> dict[str, Any]:
        """Return verdict and regions of one explanation as JSON values, for programs that read the store.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        dict
            Coefficients times 100, those in the unit of a value as they are; boxes in pixels; None where there is no
            figure.
        """
        from scipy.ndimage import find_objects

        found = self.confirmation(row, c)
        lists = ([], []) if found is None else (found.effect.tolist(), found.p_value.tolist())
        effects, p_values = ([[known_number(each) for each in of_number] for of_number in values] for values in lists)
        # SciPy's objects begin at 1, and uint16 may not have room for one more.
        boxes = find_objects(self.segments(row).astype(np.int32) + 1)
        regions = []
        for each in self.strengths(row, c):
            down, across = boxes[each.segment]
            region: dict[str, Any] = {"segment": each.segment}
            region["change" if self.quantity.is_value else "points"] = each.value
            region["interval"] = [each.low, each.high] if each.known else None
            region["votes"] = each.votes
            region["box"] = [down.start, across.start, down.stop, across.stop]
            regions.append(region)
        return {
            "id": self.ids[row],
            "class": self.names[c],
            **self._answered(row, c),
            "effects": effects,
            "p_values": p_values,
            "segments": self.segmentation.reference,
            "regions": regions,
        }

    @property
    def origins(self) -> list[Artifact]:
        """What the explanations were made from, in order, themselves the last, or their check."""
        made: list[Artifact | None] = [self.dataset, self.model, self.segmentation]
        for run in self.runs:
            made += run.origins
        made.append(self.surrogates)
        if self.check is not None:
            made.append(self.check.artifact)
        # Views share segments, and most surrogates are what they were fitted as: each is named once.
        return list({each.reference: each for each in made if each is not None}.values())


def listed(words: Sequence[str]) -> str:
    """Return words as a sentence lists them.

    Parameters
    ----------
    words : sequence of str

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *first, last = words or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _without_intervals(surrogates: Artifact) -> bool:
    """Return whether the surrogate is one that knows no intervals of its own."""
    surrogate = SURROGATES.get(surrogates.parameters.get("surrogate", ""))
    return surrogate is not None and not surrogate.intervals
