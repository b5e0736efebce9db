"""How answers are scored where each picture has one class: the most probable class is the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.choices import HALF
from facelime_cli.core import metrics
from facelime_cli.errors import FacelimeError
from facelime_cli.reporting import evaluation
from facelime_cli.reporting.evaluation import VALIDATION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.reporting.evaluation import Answered, Picking
    from facelime_cli.store.artifacts import Artifact

MOST_CLASSES = 100
"""With more classes than that, figures are about those that are true or predicted at least once."""
RESAMPLED = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
"""Figures that have an interval of the bootstrap."""


@dataclass(frozen=True)
class OneClass:
    """Scoring of a model that gives each picture one class.

    Attributes
    ----------
    classes : sequence of str
        The model's.
    read : callable
        From a dataset to the class of each picture in the model's order, (N,) int64; -1 where it is unknown.
    """

    classes: Sequence[str]
    read: Callable[[Artifact], NDArray[np.int64]]

    def check(self, picking: Picking) -> None:
        """Raise where thresholds are to be picked that no answer depends on.

        Parameters
        ----------
        picking : Picking

        Raises
        ------
        FacelimeError
        """
        if picking.how != HALF:
            raise FacelimeError(
                f"--thresholds {picking.how} is for models with a probability for each finding, and here each picture "
                "has one class, the most probable one; omit it."
            )

    def labels(self, dataset: Artifact) -> NDArray[np.int64]:
        """Return the class of each picture: (N,) int64, -1 where it is unknown.

        Parameters
        ----------
        dataset : Artifact
        """
        return self.read(dataset)

    def column(self, labels: NDArray[Any], c: int) -> NDArray[np.int8]:
        """Return whether each picture is of a class: (N,) int8.

        Parameters
        ----------
        labels : (N,) int64 array
        c : int
        """
        return np.asarray(labels == c, dtype=np.int8)

    def thresholds(self, picking: Picking, before: Answered | None, here: Answered, split: str) -> dict[str, Any]:
        """Return the threshold that reaches each wanted recall on the validation split, and what it means on both.

        Parameters
        ----------
        picking : Picking
        before : Answered or None
            The pictures that thresholds are picked on; None where none is wanted.
        here : Answered
            The pictures that are evaluated.
        split : str
            Name of their split.

        Returns
        -------
        dict
            By the names of the classes.
        """
        found: dict[str, Any] = {}
        if before is None:
            return found
        for name, recall in picking.recalls.items():
            c = self.classes.index(name)
            of_class, scores = before.cases.labels == c, before.probabilities[:, c]
            threshold = metrics.threshold_for(of_class, scores, recall)
            its: dict[str, Any] = {"target_recall": recall, "threshold": threshold}
            its[VALIDATION] = metrics.at_threshold(of_class, scores, threshold)
            its[split] = metrics.at_threshold(here.cases.labels == c, here.probabilities[:, c], threshold)
            found[name] = its
        return found

    def figures(self, here: Answered, thresholds: Mapping[str, Any], rounds: int, seed: int) -> dict[str, Any]:
        """Return every figure of an evaluation, with its intervals.

        Parameters
        ----------
        here : Answered
        thresholds : mapping
            Not needed: the answer is the most probable class.
        rounds, seed : int
            Of the bootstrap, which draws whole groups.

        Returns
        -------
        dict
            What `metrics.figures` returns, and right, groups, accuracy_interval, bootstrap_intervals, calibration.

        References
        ----------
        Wilson 1927 for the interval of the accuracy; Field and Welsh, "Bootstrapping clustered data", 2007, for others.
        """
        del thresholds
        labels, probabilities = here.cases.labels, here.probabilities
        shown = _shown(labels, probabilities)
        names = [self.classes[c] for c in shown]
        # Classes that are not shown are left out, so that the others get new numbers.
        renumbered = np.searchsorted(shown, labels)
        found = dict(metrics.figures(renumbered, probabilities[:, shown], names))
        n_right = int(_is_right(here).sum())
        low, high = metrics.wilson(n_right, len(labels))
        found["right"] = n_right
        found["groups"] = len(set(here.cases.groups))
        found["accuracy_interval"] = [low, high]
        values = evaluation.by_round(
            lambda drawn: metrics.resampled(labels, probabilities, drawn), here.cases.groups, rounds, seed
        )
        found["bootstrap_intervals"] = {
            name: None if values is None else metrics.interval(values[name]) for name in RESAMPLED
        }
        found["calibration"] = vars(metrics.reliability(labels, probabilities))
        return found

    def subgroups(self, dataset: Artifact, here: Answered, thresholds: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the accuracy of the pictures that share a value of a table column; numbers are in quarters.

        Parameters
        ----------
        dataset : Artifact
        here : Answered
        thresholds : mapping
            Not needed.

        Returns
        -------
        list of dict
            column, value, n, right, accuracy, low and high of the 95 % interval (Wilson 1927).
        """
        del thresholds
        is_right = _is_right(here)
        found = []
        for column, value, within in evaluation.by_value(dataset, here.cases):
            found.append({"column": column, "value": value, **_accuracy(is_right[within])})
        return found

    def mistakes(
        self, here: Answered, ids: Sequence[str], thresholds: Mapping[str, Any], most: int
    ) -> list[dict[str, Any]]:
        """Return the wrong answers that the model is surest of.

        Parameters
        ----------
        here : Answered
        ids : sequence of str
            Of the pictures.
        thresholds : mapping
            Not needed.
        most : int
            How many at most.

        Returns
        -------
        list of dict
            id, row, label, predicted, probability; the surest first.
        """
        del thresholds
        labels, rows = here.cases.labels, here.cases.rows
        predicted = here.probabilities.argmax(axis=1)
        sure = here.probabilities.max(axis=1)
        # A stable order: pictures of the same sureness stay in the order of the dataset.
        by_sureness = (-sure).argsort(kind="stable")
        wrong = [place for place in by_sureness if predicted[place] != labels[place]]
        found = []
        for place in wrong[:most]:
            label, answer = labels[place], predicted[place]
            each: dict[str, Any] = {"id": ids[place]}
            each["row"] = int(rows[place])
            each["label"] = self.classes[label]
            each["predicted"] = self.classes[answer]
            each["probability"] = float(sure[place])
            found.append(each)
        return found


def _is_right(here: Answered) -> NDArray[np.bool_]:
    """Return whether the model is right about each picture."""
    right: NDArray[np.bool_] = here.probabilities.argmax(axis=1) == here.cases.labels
    return right


def _shown(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the classes that the figures are about."""
    n_classes = probabilities.shape[1]
    if n_classes <= MOST_CLASSES:
        return np.arange(n_classes)
    predicted = probabilities.argmax(axis=1)
    return np.union1d(labels, predicted)


def _accuracy(is_right: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the accuracy of some pictures, with its interval."""
    n = len(is_right)
    n_right = int(is_right.sum())
    accuracy = float(is_right.mean())
    low, high = metrics.wilson(n_right, n)
    return {"n": n, "right": n_right, "accuracy": accuracy, "low": low, "high": high}
