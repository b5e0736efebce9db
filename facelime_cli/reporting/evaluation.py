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
    trained_on = model.inputs.get("dataset", {}).get("digest")
    fold = model.facts.get("fold") if trained_on == dataset.content else None
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
    labels = dataset.read("labels").astype(np.int64)
    chosen = labels >= 0
    if split in splits:
        chosen &= pictures.splits_of(dataset, fold) == splits.index(split)
    rows = np.flatnonzero(chosen)
    if not len(rows):
        raise FacelimeError(
            f"datasets/{dataset.id} has no labelled pictures in its {split} split; choose another --split."
        )
    groups = dataset.texts("group")
    places = np.array([classes.index(name) for name in own])
    return Cases(rows, places[labels[rows]], [groups[row] for row in rows])


def _check_classes(dataset: Artifact, own: Sequence[str], classes: Sequence[str]) -> None:
    """Raise where a class of the dataset is not exactly one of the model's."""
    lost = [name for name in own if list(classes).count(name) != 1]
    if own and not lost:
        return
    what = f"the class {lost[0]!r}" if lost else "no labels"
    raise FacelimeError(
        f"datasets/{dataset.id} has {what}, and the model's classes are {', '.join(classes[:NAMED_CLASSES])}; "
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
            raise CommandLineError(
                f"--target-recall {text!r} should be CLASS=RECALL with a recall of more than 0 and at most 1; "
                f"the classes are {', '.join(classes[:NAMED_CLASSES])}."
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
        if not (found.labels == classes.index(name)).any():
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
    n_cases = len(cases.rows)
    ids = dataset.texts("id")
    constants = {
        "id": np.array([ids[row] for row in cases.rows], dtype=object),
        "row": cases.rows.astype(np.int32),
        "labels": cases.labels.astype(np.int16),
        "group": np.array(cases.groups, dtype=object),
    }
    arrays = {"probabilities": ArraySpec("float32", (n_cases, len(classes)), ("picture", "class"))}
    return Layout(
        n_cases,
        arrays,
        {name: (values, ("picture",)) for name, values in constants.items()},
        {"classes": list(classes)},
        UNIT_PICTURES,
        {"batch_size": min(batch_size, UNIT_PICTURES, n_cases)},
    )


class Answers:
    """Answers of one model, which is loaded once.

    Parameters
    ----------
    model, dataset : Artifact
    batch_size : int
        Pictures per call.
    """

    def __init__(self, model: Artifact, dataset: Artifact, batch_size: int) -> None:
        self._call = runtimes.load(model, runtimes.usual(model)).forward
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
        chosen = running.Labelled(self._read, cases.rows[rows], cases.labels[rows])
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
    found = metrics.figures(np.searchsorted(shown, labels), probabilities[:, shown], [classes[c] for c in shown])
    n_right = int((probabilities.argmax(axis=1) == labels).sum())
    return {
        **found,
        "right": n_right,
        "groups": len(set(cases.groups)),
        "accuracy_interval": list(metrics.wilson(n_right, len(labels))),
        "bootstrap_intervals": _intervals(cases, probabilities, rounds, seed),
        "calibration": vars(metrics.reliability(labels, probabilities)),
    }


def _shown(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the classes that the figures are about."""
    every = np.arange(probabilities.shape[1])
    if len(every) <= MOST_CLASSES:
        return every
    return np.union1d(labels, probabilities.argmax(axis=1))


def _intervals(
    cases: Cases, probabilities: NDArray[np.float32], rounds: int, seed: int
) -> dict[str, list[float] | None]:
    if len(set(cases.groups)) < FEWEST_GROUPS:
        return dict.fromkeys(RESAMPLED)
    counts = metrics.rounds_by_group(cases.groups, rounds, seed)
    values = metrics.resampled(cases.labels, probabilities, counts)
    return {name: metrics.interval(each) for name, each in values.items()}


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
        (before, scores_before), (now, scores_now) = (
            (cases.labels == c, probabilities[:, c]) for cases, probabilities in (validation, here)
        )
        threshold = metrics.threshold_for(before, scores_before, recall)
        found[name] = {
            "target_recall": recall,
            "threshold": threshold,
            VALIDATION: metrics.at_threshold(before, scores_before, threshold),
            split: metrics.at_threshold(now, scores_now, threshold),
        }
    return found


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
        values = dataset.read(f"table/{column}")[cases.rows]
        texts, names = _values_of(values)
        if len(names) > MOST_VALUES:
            continue
        for name in names:
            chosen = is_right[np.array([text == name for text in texts])]
            n_right = int(chosen.sum())
            low, high = metrics.wilson(n_right, len(chosen))
            found.append(
                {
                    "column": column,
                    "value": name,
                    "n": len(chosen),
                    "right": n_right,
                    "accuracy": float(chosen.mean()),
                    "low": low,
                    "high": high,
                }
            )
    return found


def _values_of(values: NDArray[Any]) -> tuple[list[str], list[str]]:
    """Return the subgroup of each picture, and the subgroups in the order in which they are shown."""
    if values.dtype.kind != "f":
        texts = [str(value) or metrics.UNKNOWN for value in values]
        return texts, sorted(set(texts))
    texts = metrics.bands(values)
    ascending = np.argsort(values, kind="stable")
    return texts, list(dict.fromkeys(texts[place] for place in ascending))


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
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    by_sureness = (-sure).argsort(kind="stable")
    wrong = [place for place in by_sureness if predicted[place] != cases.labels[place]]
    return [
        {
            "id": ids[place],
            "row": int(cases.rows[place]),
            "label": classes[cases.labels[place]],
            "predicted": classes[predicted[place]],
            "probability": float(sure[place]),
        }
        for place in wrong[:most]
    ]


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
        n_seen = len(set(trained) & set(rows))
    else:
        known_pixels = set(_pixel_digests(own, trained))
        n_seen = sum(each in known_pixels for each in _pixel_digests(dataset, rows))
    known: set[str] = set()
    # Where every picture is a group of its own, the names of groups are no patients.
    if own.facts["groups"] < own.n and dataset.facts["groups"] < dataset.n:
        groups = own.texts("group")
        known = {groups[row] for row in trained}
    return {"pictures": n_seen, "of_a_trained_group": sum(group in known for group in cases.groups)}


def _rows_of_training(model: Artifact, own: Artifact) -> list[int]:
    fold = pictures.tested_fold(own, model.facts.get("fold"))
    rows = np.flatnonzero(pictures.splits_of(own, fold) == TRAINING)
    return [int(row) for row in rows]


def _pixel_digests(dataset: Artifact, rows: Sequence[int]) -> list[str]:
    found: list[str] = []
    for start in range(0, len(rows), UNIT_PICTURES):
        images = dataset.read("images", rows[start : start + UNIT_PICTURES])
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
    n_seen, n_known = seen.get("pictures", 0), seen.get("of_a_trained_group", 0)
    said = []
    if n_seen:
        said.append(f"the model was trained on {n_seen} of these {n} pictures")
    if n_known > n_seen:
        said.append(f"{n_known} of these {n} are of a patient or lesion that the model was trained on")
    if not said:
        return None
    return f"{', and '.join(said)}: the figures say how well it remembers, not how well it will do on others."
