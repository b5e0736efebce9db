"""What an evaluation says of a model: figures with intervals, thresholds, subgroups, mistakes, pictures seen before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import metrics
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.models import running, runtimes
from facelime_cli.store import digests, pictures
from facelime_cli.store.arrays import ArraySpec, Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

FEWEST_GROUPS = 2
"""With fewer groups there is nothing that a bootstrap could draw."""
MOST_VALUES = 20
"""Text columns with more values than that make no subgroups."""
UNIT_PICTURES = 512
"""Answers that are kept together: what a kill repeats at most."""
MOST_CLASSES = 100
"""With more classes than that, figures are about those that are true or predicted at least once."""
NAMED_CLASSES = 8
"""Classes that a message names at most."""
RESAMPLED = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
"""Figures that have an interval of the bootstrap."""
TRAINING = 0
"""The training split in what `pictures.splits_of` returns."""
VALIDATION = "validation"
"""The split that thresholds are picked on."""


@dataclass(frozen=True)
class Cases:
    """What is evaluated.

    Attributes
    ----------
    rows : (N,) int64 array
        Rows of the dataset.
    labels : (N,) int64 array
        Their true classes, in the model's own order.
    groups : list of str
        Their groups: patients or lesions.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: list[str]


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


def fold_for(model: Artifact, dataset: Artifact) -> int | None:
    """Return the fold to test: the one that the model was trained for, where this is its own dataset.

    Parameters
    ----------
    model, dataset : Artifact

    Returns
    -------
    int or None
        None for a dataset without folds.
    """
    trained_on = model.inputs.get("dataset", {})
    fold = None
    if trained_on.get("digest") == dataset.content:
        fold = model.facts.get("fold")
    return pictures.tested_fold(dataset, fold)


def cases_of(dataset: Artifact, split: str, splits: Sequence[str], fold: int | None, classes: Sequence[str]) -> Cases:
    """Return the labelled pictures of a split, with their classes by name in the order of the model's.

    Parameters
    ----------
    dataset : Artifact
    split : str
        One of `splits`; any other word stands for all pictures.
    splits : sequence of str
        Names of the splits in the order of their numbers.
    fold : int, optional
        The fold that is tested.
    classes : sequence of str
        The model's.

    Returns
    -------
    Cases

    Raises
    ------
    FacelimeError
        Where the dataset has other classes, or no labelled picture in this split.
    """
    own: list[str] = dataset.facts["classes"]
    _check_classes(dataset, own, classes)
    stored = dataset.read("labels")
    labels = stored.astype(np.int64)
    chosen = labels >= 0
    if split in splits:
        number = splits.index(split)
        chosen &= pictures.splits_of(dataset, fold) == number
    rows = np.flatnonzero(chosen)
    if not len(rows):
        raise FacelimeError(
            f"datasets/{dataset.id} has no labelled pictures in its {split} split; choose another --split."
        )
    every_group = dataset.texts("group")
    groups = [every_group[row] for row in rows]
    # From the dataset's order of the classes to the model's.
    places = np.array([classes.index(name) for name in own])
    own_labels = labels[rows]
    return Cases(rows, places[own_labels], groups)


def _check_classes(dataset: Artifact, own: Sequence[str], classes: Sequence[str]) -> None:
    """Raise where a class of the dataset is not exactly one of the model's."""
    known = list(classes)
    lost = [name for name in own if known.count(name) != 1]
    if own and not lost:
        return
    what = f"the class {lost[0]!r}" if lost else "no labels"
    named = ", ".join(known[:NAMED_CLASSES])
    raise FacelimeError(
        f"datasets/{dataset.id} has {what}, and the model's classes are {named}; "
        "rename classes with `preprocess --class-names`, or choose another dataset."
    )


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
    dataset: Artifact,
    split: str,
    splits: Sequence[str],
    fold: int | None,
    classes: Sequence[str],
    targets: Mapping[str, float],
) -> Cases | None:
    """Return the pictures that thresholds are picked on.

    Parameters
    ----------
    dataset, split, splits, fold, classes
        As for `cases_of`.
    targets : mapping
        From `wanted_recalls`.

    Returns
    -------
    Cases or None
        None where no threshold is wanted.

    Raises
    ------
    FacelimeError
        Where they would be reported on the pictures that they were picked on, or a class has no pictures there.
    """
    if not targets:
        return None
    found = cases_of(dataset, VALIDATION, splits, fold, classes)
    for name in targets:
        if split == VALIDATION or split not in splits:
            raise FacelimeError(
                f"--target-recall {name} is picked on the validation split and reported on another; "
                f"choose another --split than {split}."
            )
        of_class = found.labels == classes.index(name)
        if not of_class.any():
            raise FacelimeError(
                f"--target-recall {name} needs pictures of {name} in the validation split, and datasets/{dataset.id} "
                "has none there; preprocess the source with another --split."
            )
    return found


# Answers


def layout_of(dataset: Artifact, cases: Cases, classes: Sequence[str], batch_size: int) -> Layout:
    """Return what an evaluation stores.

    Parameters
    ----------
    dataset : Artifact
    cases : Cases
    classes : sequence of str
        The model's.
    batch_size : int
        Pictures per call, at most.

    Returns
    -------
    Layout
    """
    rows = cases.rows
    n_cases, n_classes = len(rows), len(classes)
    every_id = dataset.texts("id")
    ids = [every_id[row] for row in rows]
    by_picture = ("picture",)
    constants: dict[str, tuple[NDArray[Any], tuple[str, ...]]] = {}
    constants["id"] = (np.array(ids, dtype=object), by_picture)
    constants["row"] = (rows.astype(np.int32), by_picture)
    constants["labels"] = (cases.labels.astype(np.int16), by_picture)
    constants["group"] = (np.array(cases.groups, dtype=object), by_picture)
    probabilities = ArraySpec("float32", (n_cases, n_classes), ("picture", "class"))
    arrays = {"probabilities": probabilities}
    facts = {"classes": list(classes)}
    # A batch never reaches over the end of a unit.
    together = min(batch_size, UNIT_PICTURES, n_cases)
    return Layout(n_cases, arrays, constants, facts, UNIT_PICTURES, {"batch_size": together})


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
        classifier = runtimes.load(model, how)
        self._call = classifier.forward
        self._read = pictures.reader(dataset)
        self._batch_size = batch_size

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


# Figures


def figures(
    cases: Cases, probabilities: NDArray[np.float32], classes: Sequence[str], rounds: int, seed: int
) -> dict[str, Any]:
    """Return every figure of an evaluation, with its intervals.

    Parameters
    ----------
    cases : Cases
    probabilities : (N, C) float32 array
    classes : sequence of str
        The model's.
    rounds, seed : int
        Of the bootstrap, which draws whole groups.

    Returns
    -------
    dict
        What `metrics.figures` returns, and right, groups, accuracy_interval, bootstrap_intervals, calibration.

    References
    ----------
    Wilson 1927 for the interval of the accuracy; Field and Welsh 2007, Bootstrapping clustered data, for the others.
    """
    labels = cases.labels
    shown = _shown(labels, probabilities)
    names = [classes[c] for c in shown]
    # Classes that are not shown are left out, so that the others get new numbers.
    renumbered = np.searchsorted(shown, labels)
    of_shown = probabilities[:, shown]
    found = dict(metrics.figures(renumbered, of_shown, names))
    is_right = probabilities.argmax(axis=1) == labels
    n_right = int(is_right.sum())
    groups = set(cases.groups)
    low, high = metrics.wilson(n_right, len(labels))
    reliability = metrics.reliability(labels, probabilities)
    found["right"] = n_right
    found["groups"] = len(groups)
    found["accuracy_interval"] = [low, high]
    found["bootstrap_intervals"] = _intervals(cases, probabilities, rounds, seed)
    found["calibration"] = vars(reliability)
    return found


def _shown(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the classes that the figures are about."""
    n_classes = probabilities.shape[1]
    if n_classes <= MOST_CLASSES:
        return np.arange(n_classes)
    predicted = probabilities.argmax(axis=1)
    return np.union1d(labels, predicted)


def _intervals(
    cases: Cases, probabilities: NDArray[np.float32], rounds: int, seed: int
) -> dict[str, list[float] | None]:
    groups = cases.groups
    distinct = set(groups)
    if len(distinct) < FEWEST_GROUPS:
        return dict.fromkeys(RESAMPLED)
    counts = metrics.rounds_by_group(groups, rounds, seed)
    values = metrics.resampled(cases.labels, probabilities, counts)
    found = {}
    for name, each in values.items():
        found[name] = metrics.interval(each)
    return found


def thresholds(
    targets: Mapping[str, float],
    classes: Sequence[str],
    validation: tuple[Cases, NDArray[np.float32]],
    here: tuple[Cases, NDArray[np.float32]],
    split: str,
) -> dict[str, Any]:
    """Return for each wanted recall the threshold that the validation split gives, and what it means there and here.

    Parameters
    ----------
    targets : mapping
        From `wanted_recalls`.
    classes : sequence of str
        The model's.
    validation, here : pair of Cases and (N, C) float32 array
        Pictures with their probabilities: those that thresholds are picked on, and those that are evaluated.
    split : str
        Name of the split that is evaluated.

    Returns
    -------
    dict
        By the names of the classes.
    """
    found = {}
    for name, recall in targets.items():
        c = classes.index(name)
        before, scores_before = _one_against_all(validation, c)
        now, scores_now = _one_against_all(here, c)
        threshold = metrics.threshold_for(before, scores_before, recall)
        its: dict[str, Any] = {"target_recall": recall, "threshold": threshold}
        its[VALIDATION] = metrics.at_threshold(before, scores_before, threshold)
        its[split] = metrics.at_threshold(now, scores_now, threshold)
        found[name] = its
    return found


def _one_against_all(answered: tuple[Cases, NDArray[np.float32]], c: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return whether each picture is of a class, and its probability of that class: (N,) each."""
    cases, probabilities = answered
    of_class = cases.labels == c
    return of_class, probabilities[:, c]


def subgroups(dataset: Artifact, cases: Cases, is_right: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the accuracy of the pictures that share a value of a table column; numbers are in quarters.

    Parameters
    ----------
    dataset : Artifact
    cases : Cases
    is_right : (N,) bool array
        Whether the model is right about each.

    Returns
    -------
    list of dict
        column, value, n, right, accuracy, low and high of the 95 % interval (Wilson 1927).
    """
    found = []
    for column in dataset.facts.get("columns", []):
        whole_column = dataset.read(f"table/{column}")
        values = whole_column[cases.rows]
        texts, names = _values_of(values)
        if len(names) > MOST_VALUES:
            continue
        for name in names:
            within = np.array([text == name for text in texts])
            each = {"column": column, "value": name, **_accuracy(is_right[within])}
            found.append(each)
    return found


def _accuracy(is_right: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the accuracy of some pictures, with its interval."""
    n = len(is_right)
    n_right = int(is_right.sum())
    accuracy = float(is_right.mean())
    low, high = metrics.wilson(n_right, n)
    return {"n": n, "right": n_right, "accuracy": accuracy, "low": low, "high": high}


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


def mistakes(
    cases: Cases, probabilities: NDArray[np.float32], ids: Sequence[str], classes: Sequence[str], most: int
) -> list[dict[str, Any]]:
    """Return the wrong answers that the model is surest of.

    Parameters
    ----------
    cases : Cases
    probabilities : (N, C) float32 array
    ids : sequence of str
        Of the pictures.
    classes : sequence of str
        The model's.
    most : int
        How many at most.

    Returns
    -------
    list of dict
        id, row, label, predicted, probability; the surest first.
    """
    labels, rows = cases.labels, cases.rows
    predicted = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1)
    # A stable order: pictures of the same sureness stay in the order of the dataset.
    by_sureness = (-sure).argsort(kind="stable")
    wrong = [place for place in by_sureness if predicted[place] != labels[place]]
    found = []
    for place in wrong[:most]:
        label, answer = labels[place], predicted[place]
        each: dict[str, Any] = {"id": ids[place]}
        each["row"] = int(rows[place])
        each["label"] = classes[label]
        each["predicted"] = classes[answer]
        each["probability"] = float(sure[place])
        found.append(each)
    return found


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
    trained = _rows_of_training(model, own)
    rows = cases.rows.tolist()
    if own.content == dataset.content:
        both = set(trained) & set(rows)
        n_seen = len(both)
    else:
        known_pixels = set(_pixel_digests(own, trained))
        pixels = _pixel_digests(dataset, rows)
        n_seen = sum(each in known_pixels for each in pixels)
    known: set[str] = set()
    # Where every picture is a group of its own, the names of groups are no patients.
    if own.facts["groups"] < own.n and dataset.facts["groups"] < dataset.n:
        groups = own.texts("group")
        known = {groups[row] for row in trained}
    n_known = sum(group in known for group in cases.groups)
    return {"pictures": n_seen, "of_a_trained_group": n_known}


def _rows_of_training(model: Artifact, own: Artifact) -> list[int]:
    trained_for = model.facts.get("fold")
    fold = pictures.tested_fold(own, trained_for)
    in_training = pictures.splits_of(own, fold) == TRAINING
    rows = np.flatnonzero(in_training)
    return [int(row) for row in rows]


def _pixel_digests(dataset: Artifact, rows: Sequence[int]) -> list[str]:
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
