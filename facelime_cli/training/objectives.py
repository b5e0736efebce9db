"""What a training minimises: for pictures of one class each, with several findings, or with several labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facelime_cli.core.labels import PRESENT, SEVERAL
from facelime_cli.models.backend import keras

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Labels = NDArray[Any]

LOSS = "sparse_categorical_crossentropy"
"""Keras' word for cross-entropy with the index of each class."""


class Objective(Protocol):
    """What Keras compiles and reads."""

    def compiled(self) -> dict[str, Any]:
        """Return loss and metrics for `compile`."""

    def fitted(self) -> dict[str, Any]:
        """Return what `fit` takes beside pictures and targets."""

    def targets(self, labels: Labels, *, weighted: bool) -> NDArray[Any]:
        """Return what the loss compares answers with, for the pictures of a split; weighted only for training."""


def objective_of(labels: Labels, class_weights: Mapping[Any, Any] | None, widths: Sequence[int] = ()) -> Objective:
    """Return the objective for labels of one kind or the other.

    Parameters
    ----------
    labels : (N,) or (N, L) int array, or a structured array of several labels
        Of the training split.
    class_weights : mapping, optional
        From `loop.balanced_class_weights`.
    widths : sequence of int
        The number of classes of each of several labels.

    Returns
    -------
    Objective
    """
    if labels.dtype.names:
        return SeveralLabels(dict(zip(labels.dtype.names, widths, strict=True)), class_weights)
    return Findings(class_weights) if labels.ndim == SEVERAL else OneClass(class_weights)


class OneClass:
    """Cross-entropy with the class of each picture.

    Parameters
    ----------
    class_weights : mapping, optional
        What each class counts.
    """

    def __init__(self, class_weights: Mapping[int, float] | None) -> None:
        self._weights = class_weights

    def compiled(self) -> dict[str, Any]:
        """Return loss and metrics for `compile`.

        Returns
        -------
        dict
        """
        return {"loss": LOSS, "metrics": ["accuracy"]}

    def fitted(self) -> dict[str, Any]:
        """Return what `fit` takes beside pictures and targets.

        Returns
        -------
        dict
        """
        return {"class_weight": self._weights}

    def targets(self, labels: Labels, *, weighted: bool) -> NDArray[Any]:
        """Return what the loss compares answers with: the class itself.

        Parameters
        ----------
        labels : (N,) int array
        weighted : bool
            Keras itself weighs, in training alone.

        Returns
        -------
        (N,) int array
        """
        del weighted
        return labels


class Findings:
    """Binary cross-entropy of each finding, the mean over those that are known.

    Parameters
    ----------
    class_weights : mapping, optional
        By finding, what its being absent (0) and present (1) counts.
    """

    def __init__(self, class_weights: Mapping[int, Mapping[int, float]] | None) -> None:
        self._weights = class_weights or {}

    def compiled(self) -> dict[str, Any]:
        """Return loss and metrics for `compile`.

        Returns
        -------
        dict
        """
        return {"loss": crossentropy, "metrics": [accuracy]}

    def fitted(self) -> dict[str, Any]:
        """Return what `fit` takes beside pictures and targets.

        Returns
        -------
        dict
        """
        return {}

    def targets(self, labels: Labels, *, weighted: bool) -> NDArray[np.float32]:
        """Return what the loss compares answers with: each finding, and what it counts.

        Parameters
        ----------
        labels : (N, L) int array
            1 present, 0 absent, -1 unknown.
        weighted : bool
            Whether class weights count.

        Returns
        -------
        (N, 2L) float32 array
            L zeros and ones, then L weights: 0 for what is unknown. The sums of weights over a picture's findings are 1
            in the mean, so that the loss is the mean over all that is known.
        """
        known = labels >= 0
        weights = known / max(known.sum(axis=1).mean(), 1.0)
        for finding, by_value in self._weights.items() if weighted else ():
            for value, weight in by_value.items():
                weights[labels[:, finding] == value, finding] *= weight
        return np.hstack([labels == PRESENT, weights]).astype(np.float32)


def crossentropy(targets: Any, answers: Any) -> Any:
    """Return the loss of each picture.

    Parameters
    ----------
    targets : (B, 2L) tensor
        From `Findings.targets`.
    answers : (B, L) tensor
        Probabilities.

    Returns
    -------
    (B,) tensor
    """
    ops = keras().ops
    present, weights = ops.split(targets, 2, axis=-1)
    return ops.sum(weights * ops.binary_crossentropy(present, answers), axis=-1)


def accuracy(targets: Any, answers: Any) -> Any:
    """Return the share of each picture's known findings that a threshold of 0.5 calls right.

    Parameters
    ----------
    targets : (B, 2L) tensor
        From `Findings.targets`.
    answers : (B, L) tensor
        Probabilities.

    Returns
    -------
    (B,) tensor
    """
    ops = keras().ops
    present, weights = ops.split(targets, 2, axis=-1)
    known = ops.cast(weights > 0, "float32")
    right = ops.cast(ops.equal(present > 0, answers >= 0.5), "float32")  # noqa: PLR2004 - as the docstring says
    return ops.sum(known * right, axis=-1) / ops.sum(known, axis=-1)


class SeveralLabels:
    """The sum of one cross-entropy for each of several labels, each the mean over the pictures whose label is known.

    Parameters
    ----------
    widths : mapping
        From the name of each label to the number of its classes; their probabilities stand in this order.
    class_weights : mapping, optional
        By label, what each of its classes counts.
    """

    def __init__(self, widths: Mapping[str, int], class_weights: Mapping[str, Mapping[int, float]] | None) -> None:
        self._widths, self._weights = widths, class_weights or {}

    def compiled(self) -> dict[str, Any]:
        """Return loss and metrics for `compile`: the accuracy of the first label, and of each further one.

        Returns
        -------
        dict
        """
        metrics = []
        for place, name in enumerate(self._widths):
            metrics.append(
                _accuracy_of(place, list(self._widths.values()), f"{name} accuracy" if place else "accuracy")
            )
        return {"loss": crossentropy_of_labels, "metrics": metrics}

    def fitted(self) -> dict[str, Any]:
        """Return what `fit` takes beside pictures and targets.

        Returns
        -------
        dict
        """
        return {}

    def targets(self, labels: Labels, *, weighted: bool) -> NDArray[np.float32]:
        """Return what the loss compares answers with: each class, and what it counts.

        Parameters
        ----------
        labels : (N,) structured int array
            -1 where a label is unknown.
        weighted : bool
            Whether class weights count.

        Returns
        -------
        (N, 2H) float32 array
            The places of H classes among all probabilities, then H weights: 0 where a label is unknown, and 1 in the
            mean over the pictures, so that the mean of the weighted losses is the mean over what is known.
        """
        places, weights = [], []
        begin = 0
        for name, width in self._widths.items():
            classes = labels[name]
            known = classes >= 0
            counts = known / max(known.mean(), 1 / max(len(known), 1))
            for value, weight in self._weights.get(name, {}).items() if weighted else ():
                counts[classes == value] *= weight
            places.append(begin + np.maximum(classes, 0))
            weights.append(counts)
            begin += width
        return np.stack([*places, *weights], axis=1).astype(np.float32)


def crossentropy_of_labels(targets: Any, answers: Any) -> Any:
    """Return the loss of each picture, the sum over its known labels.

    Parameters
    ----------
    targets : (B, 2H) tensor
        From `SeveralLabels.targets`.
    answers : (B, C) tensor
        The probabilities of all labels, one behind the other.

    Returns
    -------
    (B,) tensor
    """
    ops = keras().ops
    places, weights = ops.split(targets, 2, axis=-1)
    found = ops.take_along_axis(answers, ops.cast(places, "int32"), axis=-1)
    # As Keras' own cross-entropy does it.
    least = keras().config.epsilon()
    return -ops.sum(weights * ops.log(ops.clip(found, least, 1.0 - least)), axis=-1)


def _accuracy_of(place: int, widths: Sequence[int], name: str) -> Any:
    """Return what counts how many of the pictures whose label is known are called right."""
    k = keras()
    begin = sum(widths[:place])

    mean: Any = k.metrics.Mean

    class Accuracy(mean):  # type: ignore[misc]
        def update_state(self, targets: Any, answers: Any, sample_weight: Any = None) -> Any:  # noqa: ARG002 - Keras' own
            own = answers[:, begin : begin + widths[place]]
            right = k.ops.equal(k.ops.argmax(own, axis=-1) + begin, k.ops.cast(targets[:, place], "int32"))
            known = targets[:, len(widths) + place] > 0
            return super().update_state(k.ops.cast(right, "float32"), k.ops.cast(known, "float32"))

    return Accuracy(name=name)
