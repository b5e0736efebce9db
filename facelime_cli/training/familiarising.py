"""What a network keeps of its training pictures, so that it can tell pictures that are unlike them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import familiarity
from facelime_cli.errors import FacelimeError
from facelime_cli.models import features, running
from facelime_cli.models.running import Labelled
from facelime_cli.store import familiarity as kept
from facelime_cli.store import pictures
from facelime_cli.training.heads import of_first

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit
    from facelime_cli.training.finetuning import Listener, Splits, Trained

    Features = Callable[[NDArray[np.float32]], NDArray[np.float32]]

BATCH = 16
"""Pictures in one call."""
MOST_HELD_OUT = 1000
"""Validation pictures that are looked at."""
VALUES_AXES = 2
"""Of labels with several findings for each picture."""


@dataclass(frozen=True)
class Known:
    """Pictures that a network has learned from, and some of the same source that it has not.

    Attributes
    ----------
    train, held_out : Labelled
    groups : list of str
        Patient or lesion of every picture of the dataset.
    """

    train: Labelled
    held_out: Labelled
    groups: list[str]


class TooFewError(FacelimeError):
    """There are too few pictures to say what is unlike them."""


def known(dataset: Artifact) -> Known:
    """Return the pictures of a dataset that a network from outside is said to have learned from.

    Parameters
    ----------
    dataset : Artifact

    Returns
    -------
    Known
        Its training and validation splits; all pictures where it has no training split, or folds.
    """
    labels = dataset.read("labels")
    # A class for each picture; numbers of several findings, or values, are no classes.
    classes = labels.astype(np.int64) if labels.ndim == 1 else np.zeros(len(labels), np.int64)
    split = np.zeros(len(labels)) if dataset.parameters.get("folds") else dataset.read("split")
    if not (split == 0).any():
        split = np.zeros(len(labels))
    read = pictures.reader(dataset)
    train, held_out = (Labelled(read, each, classes[each]) for each in map(np.flatnonzero, (split == 0, split == 1)))
    return Known(train, held_out, dataset.texts("group"))


def step(model: Artifact, dataset: Artifact, console: Listener) -> Callable[[Trained, Splits, Unit], Trained]:
    """Return the step of a training that writes a summary of its features beside the model.

    Parameters
    ----------
    model : Artifact
        It is being made.
    dataset : Artifact
    console : Listener

    Returns
    -------
    callable
        One of `Job.after`. Where the network has no features or learned from too few pictures, it says so, and the
        model is kept without a summary.
    """

    def keep(trained: Trained, splits: Splits, unit: Unit) -> Trained:
        del unit
        found = kept_of(model, trained.network, splits, dataset, console)
        return replace(trained, facts={**trained.facts, **found})

    return keep


def kept_of(model: Artifact, network: Any, splits: Splits, dataset: Artifact, console: Listener) -> dict[str, Any]:
    """Write a summary of what a network learned from beside its model, and return the facts of it.

    Parameters
    ----------
    model : Artifact
        It is being made.
    network : keras.Model
    splits : Splits
        Of the dataset, as the network was trained.
    dataset : Artifact
    console : Listener

    Returns
    -------
    dict
        Empty where the network has no features or learned from too few pictures; it says so.
    """
    known = Known(of_first(splits.train), of_first(splits.validation), dataset.texts("group"))
    try:
        return write(model, running.forward(features.network_of(network, "the network")), known, console)
    except FacelimeError as why:
        console.note(f"the model will not tell unlike pictures: {why}")
        return {}


def write(model: Artifact, answer: Features, known: Known, console: Listener) -> dict[str, Any]:
    """Write a summary of the features of some pictures beside a model that is being made, and return its facts.

    Parameters
    ----------
    model : Artifact
    answer : callable
        From (B, H, W, 3) float32 pictures in display space to (B, F) float32 features.
    known : Known
    console : Listener

    Returns
    -------
    dict

    Raises
    ------
    FacelimeError
        Where there are too few pictures, or features are no numbers.
    """
    train = _some(known.train, familiarity.MOST_PICTURES)
    held_out = _some(known.held_out, MOST_HELD_OUT)
    if len(train.rows) < familiarity.FEWEST_PICTURES:
        raise TooFewError(
            f"there are {len(train.rows)} pictures to compare with, and {familiarity.FEWEST_PICTURES} are the fewest; "
            "name a dataset with more."
        )
    groups = [known.groups[row] for row in train.rows]
    _, numbers = np.unique(np.array(groups, dtype=str), return_inverse=True)
    if numbers.max() == 0:
        raise TooFewError("all pictures to compare with are of one patient or lesion; name a dataset with more.")
    with console.progress("reference", len(train.rows) + len(held_out.rows)) as advance:
        own, others = _features(answer, train, advance), _features(answer, held_out, advance)
    # One class for all where a picture may have several findings.
    classes = np.zeros(len(own), np.int64) if train.labels.ndim == VALUES_AXES else train.labels
    method = familiarity.method_for(classes)
    summary = familiarity.familiar(own, classes, numbers.ravel(), others)
    kept.write(model, summary)
    return kept.summary_facts(summary, {"method": method, "pictures": len(own)})


def _some(pictures: Labelled, most: int) -> Labelled:
    """Return some pictures, drawn the same way each time, in the order of their rows."""
    if len(pictures.rows) <= most:
        return pictures
    chosen = np.sort(np.random.Generator(np.random.Philox(0)).permutation(len(pictures.rows))[:most])
    return replace(pictures, rows=pictures.rows[chosen], labels=pictures.labels[chosen])


def _features(answer: Features, pictures: Labelled, advance: Callable[[int], None]) -> NDArray[np.float32]:
    """Return the features of pictures; an empty array where there is none."""
    gathered = []
    for found in running.answers(lambda values: answer(values.astype(np.float32)), pictures, BATCH):
        if not np.isfinite(found).all():
            raise FacelimeError("its features are not all finite.")
        advance(len(found))
        gathered.append(found)
    return np.concatenate(gathered) if gathered else np.zeros((0, 1), np.float32)
