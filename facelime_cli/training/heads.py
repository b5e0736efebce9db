"""What a network learns at once: one output for each of several labels, which a dataset has beside one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.models.building import MOST_OUTPUTS
from facelime_cli.models.running import Labelled
from facelime_cli.names import comma_separated
from facelime_cli.store import pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

OWN = "class"
"""What `--labels` calls the classes of the dataset itself; every other name is a column of its table."""
FEWEST_CLASSES = 2


@dataclass(frozen=True)
class Head:
    """One of the labels that a network learns.

    Attributes
    ----------
    name : str
        As it was asked for: the name of the network's output.
    column : str or None
        Of the dataset's table; None for the dataset's own classes.
    classes : tuple of str
    """

    name: str
    column: str | None
    classes: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """What a model says of it."""
        return {"name": self.name, "classes": list(self.classes), "label_column": self.column}


def heads_of(text: str | None, dataset: Artifact) -> tuple[Head, ...]:
    """Return what `--labels` names.

    Parameters
    ----------
    text : str or None
        Names with commas between them.
    dataset : Artifact

    Returns
    -------
    tuple of Head
        Empty where nothing but the dataset's own classes is named: that is what is learned without the option, too.

    Raises
    ------
    CommandLineError
        For a list that means nothing.
    FacelimeError
        Where the dataset has no such labels.
    """
    if text is None:
        return ()
    names = comma_separated(text)
    if not all(names) or len(set(names)) < len(names) or not 0 < len(names) <= MOST_OUTPUTS:
        raise CommandLineError(
            f"--labels {text!r} should be up to {MOST_OUTPUTS} different names, such as {OWN},subtype: {OWN} for the "
            "dataset's own classes, or columns of its table."
        )
    if pictures.is_multilabel(dataset):
        raise FacelimeError(
            f"--labels is for pictures of one class each, and {dataset.reference} has several findings per picture, "
            "which are learned together already; leave it out."
        )
    return () if names == [OWN] else tuple(_head(name, dataset) for name in names)


def _head(name: str, dataset: Artifact) -> Head:
    if name == OWN:
        column, classes = None, list(dataset.facts["classes"])
    else:
        column, classes = name, pictures.classes_in(dataset, name, "--labels")[0]
    if len(classes) < FEWEST_CLASSES:
        raise FacelimeError(
            f"--labels {name}: {dataset.reference} has {len(classes)} class{'es' * (len(classes) != 1)} of it, and "
            "training needs two or more; name another column."
        )
    return Head(name, column, tuple(classes))


def labels_of(dataset: Artifact, heads: Sequence[Head]) -> NDArray[Any]:
    """Return the class of every picture, for each of several labels.

    Parameters
    ----------
    dataset : Artifact
    heads : sequence of Head
        Empty for the dataset's own labels, of whatever kind.

    Returns
    -------
    (N,) int64 array, or what `core.labels` calls several labels
        -1 where a label is unknown.
    """
    own = dataset.read("labels").astype(np.int64)
    if not heads:
        return own
    found = [own if each.column is None else pictures.classes_in(dataset, each.column)[1] for each in heads]
    if len(heads) == 1:
        return found[0]
    together = np.empty(dataset.n, [(each.name, np.int64) for each in heads])
    for each, labels in zip(heads, found, strict=True):
        together[each.name] = labels
    return together


def of_first(split: Labelled) -> Labelled:
    """Return the pictures whose first label is known, with this label alone.

    Parameters
    ----------
    split : Labelled

    Returns
    -------
    Labelled
        The same where there is only one label.
    """
    if not split.labels.dtype.names:
        return split
    first = split.labels[split.labels.dtype.names[0]]
    known = np.flatnonzero(first >= 0)
    return Labelled(split.read, split.rows[known], first[known])
