"""What is evaluated, and what every evaluation says of it: the cases, the answers, thresholds, pictures seen before.

How answers are scored depends on what they are: `classes_scored` is for models that give each picture one class,
`findings_scored` for those that give each finding a probability of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facelime_cli.answering import runtimes
from facelime_cli.answering.familiar import distances
from facelime_cli.answering.keras_networks import member_of
from facelime_cli.choices import HALF
from facelime_cli.core import metrics
from facelime_cli.core.labels import labelled
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.models import running
from facelime_cli.store import digests, familiarity, pictures
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.explanations import answer_facts
from facelime_cli.store.pictures import EVERY_FOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit

FEWEST_GROUPS = 2
"""With fewer groups there is nothing that a bootstrap could draw."""
MOST_VALUES = 20
"""Text columns with more values than that make no subgroups."""
UNIT_PICTURES = 512
"""Answers that are kept together: what a kill repeats at most."""
NAMED_CLASSES = 8
"""Classes that a message names at most."""
TRAINING = 0
"""The training split in what `pictures.splits_of` returns."""
FOLD = "fold"
"""The subgroups of a model with a network for every fold."""
VALIDATING = 1
"""The validation split there."""
REFIT = "refit"
"""What is noted of a training that took the validation split too, at its end."""
VALIDATION = "validation"
"""The split that thresholds are picked on."""
RECALL = "recall"
"""How a threshold is picked for a wanted recall, beside `choices.HALF` and `choices.BEST_F1`."""


@dataclass(frozen=True)
class Cases:
    """What is evaluated.

    Attributes
    ----------
    rows : (N,) int64 array
        Rows of the dataset.
    labels : (N,) int64 array, or (N, L) int8 array, or floats
        Their true classes, in the model's own order; or for each of the model's findings 1, 0, or -1 for unknown; or
        (N, V) float64, the known values, NaN for unknown.
    groups : list of str
        Their groups: patients or lesions.
    members : (N,) int64 array, optional
        The fold whose network answers each of them, where the model has one for every fold.
    """

    rows: NDArray[np.int64]
    labels: NDArray[Any]
    groups: list[str]
    members: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Answered:
    """What is evaluated, and what the model says of it.

    Attributes
    ----------
    cases : Cases
    probabilities : (N, C) float32 array
    """

    cases: Cases
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class Picking:
    """How thresholds are picked.

    Attributes
    ----------
    how : str
        `half` or `f1`, for the findings without a wanted recall.
    recalls : mapping
        From a class to its wanted recall.
    """

    how: str = HALF
    recalls: Mapping[str, float] = field(default_factory=dict)

    @property
    def option(self) -> str:
        """The option that needs the validation split, as it was typed; empty where none does."""
        if self.recalls:
            return f"--target-recall {next(iter(self.recalls))}"
        return "" if self.how == HALF else f"--thresholds {self.how}"


class Scoring(Protocol):
    """How the answers of a model are scored on a dataset."""

    @property
    def classes(self) -> Sequence[str]:
        """The model's classes, or its findings."""

    def check(self, picking: Picking) -> None:
        """Raise where thresholds cannot be picked so."""

    def labels(self, dataset: Artifact) -> NDArray[Any]:
        """Return the label of every picture of a dataset as `Cases.labels` has them; negative where it is unknown."""

    def column(self, labels: NDArray[Any], c: int) -> NDArray[np.int8]:
        """Return whether pictures are of a class or have a finding: (N,), 1, 0, or -1 for unknown."""

    def thresholds(self, picking: Picking, before: Answered | None, here: Answered, split: str) -> dict[str, Any]:
        """Return by name each threshold that is picked on the validation cases, and what it means there and here."""

    def figures(self, here: Answered, thresholds: Mapping[str, Any], rounds: int, seed: int) -> dict[str, Any]:
        """Return every figure, with its intervals."""

    def subgroups(self, dataset: Artifact, here: Answered, thresholds: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the figures of the pictures that share a value of a table column."""

    def mistakes(
        self, here: Answered, ids: Sequence[str], thresholds: Mapping[str, Any], most: int
    ) -> list[dict[str, Any]]:
        """Return the wrong answers that the model is surest of."""


# What is evaluated


def own_dataset(model: Artifact) -> Artifact:
    """Return the dataset that a model was trained on.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    Artifact

    Raises
    ------
    FacelimeError
        Where it was not trained here.
    """
    if "dataset" not in model.inputs:
        raise FacelimeError(
            f"models/{model.id} was not trained here, so there is no dataset of its own; name one with --dataset."
        )
    return model.input("datasets")


def fold_for(model: Artifact, dataset: Artifact) -> int | str | None:
    """Return the fold to test: the one that the model was trained for, where this is its own dataset.

    Parameters
    ----------
    model, dataset : Artifact

    Returns
    -------
    int, str or None
        `EVERY_FOLD` where the model has a network for each, and each picture is answered by the one that has not seen
        it. None for a dataset without folds.
    """
    trained_on = model.inputs.get("dataset", {})
    fold = None
    if trained_on.get("digest") == dataset.content:
        fold = model.facts.get("fold")
    if fold == EVERY_FOLD:
        return EVERY_FOLD
    runtimes.require_answering(model)
    return pictures.tested_fold(dataset, fold)


def cases_of(scoring: Scoring, dataset: Artifact, split: str, splits: Sequence[str], fold: int | str | None) -> Cases:
    """Return the labelled pictures of a split, with what is true of them in the order of the model's classes.

    Parameters
    ----------
    scoring : Scoring
    dataset : Artifact
    split : str
        One of `splits`; any other word stands for all pictures.
    splits : sequence of str
        Names of the splits in the order of their numbers.
    fold : int or str, optional
        The fold that is tested; `EVERY_FOLD` for each picture's own, by the network that has it in this split.

    Returns
    -------
    Cases

    Raises
    ------
    FacelimeError
        Where no picture of this split is labelled, or several networks have a picture in it.
    """
    labels = scoring.labels(dataset)
    chosen = labelled(labels)
    members = None
    if fold == EVERY_FOLD:
        members = _members(dataset, split, splits)
        chosen &= members >= 0
    elif split in splits:
        number = splits.index(split)
        chosen &= pictures.splits_of(dataset, int(fold) if fold is not None else None) == number
    rows = np.flatnonzero(chosen)
    if not len(rows):
        raise FacelimeError(
            f"datasets/{dataset.id} has no labelled pictures in its {split} split; choose another --split, such as all."
        )
    every_group = dataset.texts("group")
    groups = [every_group[row] for row in rows]
    return Cases(rows, labels[rows], groups, None if members is None else members[rows])


def _members(dataset: Artifact, split: str, splits: Sequence[str]) -> NDArray[np.int64]:
    """Return for every picture the fold whose network has it in a split; -1 for a picture in no fold."""
    if split not in splits or splits.index(split) == TRAINING:
        raise FacelimeError(
            f"--split {split}: the model has a network for every fold, and several of them were trained on each "
            f"picture of datasets/{dataset.id}; use --split test, which is every picture by the network that has not "
            "seen it."
        )
    return pictures.members_by_split(dataset, splits.index(split))


def wanted_recalls(texts: Iterable[str], classes: Sequence[str]) -> dict[str, float]:
    """Return the wanted recall of each class that --target-recall names.

    Parameters
    ----------
    texts : iterable of str
        Each CLASS=RECALL.
    classes : sequence of str
        The model's.

    Returns
    -------
    dict
        From a class to its recall, more than 0 and at most 1.

    Raises
    ------
    CommandLineError
        For an unknown class, a number out of range, or a class that is named twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            recall = float(value)
        except ValueError:
            recall = -1.0
        # A text such as nan is a number, and compares as false.
        if name not in classes or not 0 < recall <= 1:
            named = ", ".join(classes[:NAMED_CLASSES])
            raise CommandLineError(
                f"--target-recall {text!r} should be CLASS=RECALL with a recall of more than 0 and at most 1; "
                f"the classes are {named}."
            )
        if name in found:
            raise CommandLineError(f"--target-recall names {name} twice; leave one of the two.")
        found[name] = recall
    return found


def validation_cases(
    scoring: Scoring, dataset: Artifact, split: str, splits: Sequence[str], fold: int | str | None, picking: Picking
) -> Cases | None:
    """Return the pictures that thresholds are picked on.

    Parameters
    ----------
    scoring, dataset, split, splits, fold
        As for `cases_of`.
    picking : Picking

    Returns
    -------
    Cases or None
        None where no threshold is picked.

    Raises
    ------
    FacelimeError
        Where they would be reported on the pictures that they were picked on, or a class with a wanted recall has no
        pictures there.
    """
    if not picking.option:
        return None
    found = cases_of(scoring, dataset, VALIDATION, splits, fold)
    if split == VALIDATION or split not in splits:
        raise FacelimeError(
            f"{picking.option} is picked on the validation split and reported on another; "
            f"choose another --split than {split}."
        )
    for name in picking.recalls:
        column = scoring.column(found.labels, scoring.classes.index(name))
        if not (column == 1).any():
            raise FacelimeError(
                f"--target-recall {name} needs pictures of {name} in the validation split, and datasets/{dataset.id} "
                "has none there; preprocess the source with another --split."
            )
    return found


def check_held_out(model: Artifact, dataset: Artifact, picking: Picking) -> None:
    """Raise where thresholds would be picked on pictures that the model was trained on.

    Parameters
    ----------
    model, dataset : Artifact
    picking : Picking

    Raises
    ------
    FacelimeError
        For a model that was trained on the validation split of this dataset too.
    """
    is_own = model.inputs.get("dataset", {}).get("digest") == dataset.content
    refitted = any(REFIT in each for each in (model.facts, *model.facts.get("folds", [])))
    if picking.option and is_own and refitted:
        raise FacelimeError(
            f"{picking.option} is picked on the validation split, and models/{model.id} was trained on that too, by "
            "--refit; pick it with the same training without --refit."
        )


# Answers


def layout_of(dataset: Artifact, cases: Cases, model: Artifact, batch_size: int) -> Layout:
    """Return what an evaluation stores.

    Parameters
    ----------
    dataset : Artifact
    cases : Cases
    model : Artifact
    batch_size : int
        Pictures per call, at most.

    Returns
    -------
    Layout
    """
    rows = cases.rows
    n_cases, n_classes = len(rows), len(model.facts["classes"])
    every_id = dataset.texts("id")
    ids = [every_id[row] for row in rows]
    by_picture = ("picture",)
    constants: dict[str, tuple[NDArray[Any], tuple[str, ...]]] = {}
    constants["id"] = (np.array(ids, dtype=object), by_picture)
    constants["row"] = (rows.astype(np.int32), by_picture)
    constants["labels"] = _stored(cases.labels)
    constants["group"] = (np.array(cases.groups, dtype=object), by_picture)
    probabilities = ArraySpec("float32", (n_cases, n_classes), ("picture", "class"), measure=runtimes.unit_of(model))
    arrays = {"probabilities": probabilities}
    facts = answer_facts(model)
    # A batch never reaches over the end of a unit.
    together = min(batch_size, UNIT_PICTURES, n_cases)
    # Each network is loaded once where all its pictures are in one unit, which keeps what is answered.
    unit_pictures = UNIT_PICTURES if cases.members is None else n_cases
    return Layout(n_cases, arrays, constants, facts, unit_pictures, {"batch_size": together})


def _stored(labels: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return labels as they are stored, with the names of their dimensions: as those of datasets."""
    if labels.ndim > 1:
        return labels, ("picture", "value" if labels.dtype.kind == "f" else "label")
    return labels.astype(np.int16), ("picture",)


class Answers:
    """Answers of one model, which is loaded once.

    Parameters
    ----------
    model, dataset : Artifact
    batch_size : int
        Pictures per call.
    """

    def __init__(self, model: Artifact, dataset: Artifact, batch_size: int) -> None:
        how = runtimes.usual(model)
        self._model, self._classifier = model, runtimes.load(model, how)
        self._call = self._classifier.forward
        self._read = pictures.reader(dataset)
        self._batch_size = batch_size

    def of_unit(self, cases: Cases, unit: Unit, advance: Callable[[int], None]) -> NDArray[np.float32]:
        """Return the probabilities of a unit's cases: (n, C) float32; `advance` as that of `of`."""
        return self.of(cases, unit.rows, advance)

    def of(
        self, cases: Cases, rows: slice = slice(None), advance: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Return the probabilities of some cases.

        Parameters
        ----------
        cases : Cases
        rows : slice
            Which of them.
        advance : callable, optional
            Takes the number of pictures of each batch that is done.

        Returns
        -------
        (N, C) float32 array
        """
        its_rows, its_labels = cases.rows[rows], cases.labels[rows]
        chosen = running.Labelled(self._read, its_rows, its_labels)
        gathered = []
        for answered in running.answers(self._call, chosen, self._batch_size):
            gathered.append(answered)
            if advance is not None:
                advance(len(answered))
        return np.concatenate(gathered)

    def unit_facts(self, cases: Cases, rows: slice) -> dict[str, Any]:
        """Return how far some cases are from what the model learned from, as a unit notes it.

        Parameters
        ----------
        cases : Cases
        rows : slice
            Which of them.

        Returns
        -------
        dict
            Empty where the model keeps no summary of that.
        """
        if not familiarity.has_summary(self._model):
            return {}
        chosen, found = [int(row) for row in cases.rows[rows]], []
        for start in range(0, len(chosen), self._batch_size):
            images = self._read(chosen[start : start + self._batch_size])
            found += distances(self._model, self._classifier, images, self._batch_size)
        return {familiarity.DISTANCES: found}


class OutOfFold:
    """Answers of a model with a network for every fold: each case is answered by its own, see `Cases.members`.

    Parameters
    ----------
    model, dataset : Artifact
    batch_size : int
        Pictures per call.
    """

    def __init__(self, model: Artifact, dataset: Artifact, batch_size: int) -> None:
        self._model, self._batch_size = model, batch_size
        self._read = pictures.reader(dataset)

    def of_unit(self, cases: Cases, unit: Unit, advance: Callable[[int], None]) -> NDArray[np.float32]:
        """Return the probabilities of a unit's cases, and keep them as they come.

        Parameters
        ----------
        cases : Cases
        unit : Unit
            What was answered before a stop is read from it.
        advance : callable
            Takes the number of pictures that are done.

        Returns
        -------
        (n, C) float32 array
        """
        places = np.arange(unit.rows.start, unit.rows.stop)
        found = np.full((unit.n, len(self._model.facts["classes"])), np.nan, np.float32)
        for kept, values in unit.committed():
            # A commit of another form cannot be of these cases; they are answered again.
            if values.shape[1:] == found.shape[1:] and kept.max() < unit.n:
                found[kept] = values
        left = np.isnan(found).any(axis=1)
        advance(int((~left).sum()))
        for its, values in self._answered(cases, places[left]):
            found[its - unit.rows.start] = values
            unit.commit(its - unit.rows.start, values)
            advance(len(its))
        return found

    def of(self, cases: Cases) -> NDArray[np.float32]:
        """Return the probabilities of cases: (N, C) float32."""
        found = np.full((len(cases.rows), len(self._model.facts["classes"])), np.nan, np.float32)
        for its, values in self._answered(cases, np.arange(len(cases.rows))):
            found[its] = values
        return found

    def unit_facts(self, cases: Cases, rows: slice) -> dict[str, Any]:
        """Return nothing: the summary of the mean is of what its first network learned from, most of these cases."""
        del cases, rows
        return {}

    def _answered(
        self, cases: Cases, places: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield places of cases and their probabilities; one network after the other is loaded."""
        assert cases.members is not None
        members = cases.members[places]
        for member in np.unique(members):
            its = places[members == member]
            call = member_of(self._model, int(member))
            for start in range(0, len(its), UNIT_PICTURES):
                block = its[start : start + UNIT_PICTURES]
                chosen = running.Labelled(self._read, cases.rows[block], cases.labels[block])
                yield block, np.concatenate(list(running.answers(call, chosen, self._batch_size)))


def asking(model: Artifact, dataset: Artifact, cases: Cases, batch_size: int) -> Answers | OutOfFold:
    """Return what answers cases: the model, or the network of each case's fold.

    Parameters
    ----------
    model, dataset : Artifact
    cases : Cases
    batch_size : int
        Pictures per call.
    """
    return (Answers if cases.members is None else OutOfFold)(model, dataset, batch_size)


# What every scoring needs


def by_round(
    resampled: Callable[[NDArray[np.int16]], dict[str, Any]], groups: Sequence[str], rounds: int, seed: int
) -> dict[str, Any] | None:
    """Return the figures of each round of a bootstrap that draws whole groups.

    Parameters
    ----------
    resampled : callable
        From how often each picture counts in each round to figures by name.
    groups : sequence of N str
    rounds, seed : int

    Returns
    -------
    dict or None
        None with fewer than `FEWEST_GROUPS` groups.

    References
    ----------
    Field and Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69, 369, 2007.
    """
    if len(set(groups)) < FEWEST_GROUPS:
        return None
    return resampled(metrics.rounds_by_group(groups, rounds, seed))


def by_value(dataset: Artifact, cases: Cases) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield the subgroups of pictures that share a value of a table column; numbers are in quarters.

    Where the model has a network for every fold, the first subgroups are the folds.

    Parameters
    ----------
    dataset : Artifact
    cases : Cases

    Yields
    ------
    column, value : str
    within : (N,) bool array
        Which of the cases are in the subgroup; at least one.
    """
    if cases.members is not None:
        for fold in np.unique(cases.members):
            yield FOLD, str(fold), cases.members == fold
    for column in dataset.facts.get("columns", []):
        whole_column = dataset.read(f"table/{column}")
        values = whole_column[cases.rows]
        texts, names = _values_of(values)
        if len(names) > MOST_VALUES:
            continue
        for name in names:
            yield column, name, np.array([text == name for text in texts])


def _values_of(values: NDArray[Any]) -> tuple[list[str], list[str]]:
    """Return the subgroup of each picture, and the subgroups in the order in which they are shown."""
    if values.dtype.kind != "f":
        texts = [str(value) or metrics.UNKNOWN for value in values]
        distinct = sorted(set(texts))
        return texts, distinct
    texts = metrics.bands(values)
    # Bands are numbers in words: they are shown in the order of their values, not of their letters.
    ascending = np.argsort(values, kind="stable")
    in_order = [texts[place] for place in ascending]
    distinct = list(dict.fromkeys(in_order))
    return texts, distinct


# What the model was trained on


def seen_in_training(model: Artifact, dataset: Artifact, cases: Cases) -> dict[str, int]:
    """Return how many of the pictures, or of their groups, the model was trained on.

    Parameters
    ----------
    model, dataset : Artifact
    cases : Cases

    Returns
    -------
    dict
        `pictures`, which are known by their pixels, and `of_a_trained_group`. Empty for a model from outside.
    """
    if "dataset" not in model.inputs:
        return {}
    own = model.input("datasets")
    rows = cases.rows.tolist()
    if cases.members is not None:
        return _seen_by_members(model, own, cases)
    trained = _rows_of_training(model, own)
    if own.content == dataset.content:
        both = set(trained) & set(rows)
        n_seen = len(both)
    else:
        known_pixels = set(pixel_digests(own, trained))
        pixels = pixel_digests(dataset, rows)
        n_seen = sum(each in known_pixels for each in pixels)
    known: set[str] = set()
    # Where every picture is a group of its own, the names of groups are no patients.
    if own.facts["groups"] < own.n and dataset.facts["groups"] < dataset.n:
        groups = own.texts("group")
        known = {groups[row] for row in trained}
    n_known = sum(group in known for group in cases.groups)
    return {"pictures": n_seen, "of_a_trained_group": n_known}


def _seen_by_members(model: Artifact, own: Artifact, cases: Cases) -> dict[str, int]:
    """Return how many of the pictures, or of their groups, the network was trained on that answers them."""
    assert cases.members is not None
    groups = np.array(own.texts("group"))
    n_seen = n_known = 0
    for member in np.unique(cases.members):
        trained = np.flatnonzero(_learned_from(model.facts["folds"][member], own, int(member)))
        its = cases.rows[cases.members == member]
        n_seen += int(np.isin(its, trained).sum())
        n_known += int(np.isin(groups[its], groups[trained]).sum())
    return {"pictures": n_seen, "of_a_trained_group": n_known}


def _rows_of_training(model: Artifact, own: Artifact) -> list[int]:
    trained_for = model.facts.get("fold")
    if trained_for == EVERY_FOLD:
        # Each picture is in the training of some networks.
        return [int(row) for row in np.flatnonzero(own.read("fold") >= 0)]
    in_training = _learned_from(model.facts, own, pictures.tested_fold(own, trained_for))
    return [int(row) for row in np.flatnonzero(in_training)]


def _learned_from(trained: Mapping[str, Any], own: Artifact, fold: int | None) -> NDArray[np.bool_]:
    """Return which pictures of its dataset a network was trained on, by what is noted of its training: (N,)."""
    split = pictures.splits_of(own, fold)
    return np.isin(split, (TRAINING, VALIDATING)) if REFIT in trained else split == TRAINING


def pixel_digests(dataset: Artifact, rows: Sequence[int]) -> list[str]:
    """Return the digest of each of some pictures, by its pixels alone.

    Parameters
    ----------
    dataset : Artifact
    rows : sequence of int
    """
    found: list[str] = []
    for start in range(0, len(rows), UNIT_PICTURES):
        chosen = rows[start : start + UNIT_PICTURES]
        images = dataset.read("images", chosen)
        found += digests.of_pictures(images)
    return found


def seen_sentence(seen: Mapping[str, int], n: int) -> str | None:
    """Return what to say of pictures that the model was trained on.

    Parameters
    ----------
    seen : mapping
        From `seen_in_training`.
    n : int
        Number of pictures.

    Returns
    -------
    str or None
        None when there is none.
    """
    n_seen = seen.get("pictures", 0)
    n_known = seen.get("of_a_trained_group", 0)
    said = []
    if n_seen:
        said.append(f"the model was trained on {n_seen} of these {n} pictures")
    if n_known > n_seen:
        said.append(f"{n_known} of these {n} are of a patient or lesion that the model was trained on")
    if not said:
        return None
    return f"{', and '.join(said)}: the figures say how well it remembers, not how well it will do on others."
