"""What a training minimises: for pictures of one class each, with several findings, or with several labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facelime_cli.core.labels import ABSENT, PRESENT, SEVERAL
from facelime_cli.models.backend import keras

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Labels = NDArray[Any]

LOSS = "sparse_categorical_crossentropy"
"""Keras' word for cross-entropy with the index of each class."""
DENSE_LOSS = "categorical_crossentropy"
"""The same with a share of each class."""


class Objective(Protocol):
    """What Keras compiles and reads."""

    def compiled(self) -> dict[str, Any]:
        """Return loss and metrics for `compile`."""

    def fitted(self) -> dict[str, Any]:
        """Return what `fit` takes beside pictures and targets."""

    def targets(self, labels: Labels, *, weighted: bool) -> NDArray[Any]:
        """Return what the loss compares answers with, for the pictures of a split; weighted only for training."""


def objective_of(
    labels: Labels,
    class_weights: Mapping[int, Any] | None,
    smoothing: float = 0.0,
    n_classes: int = 0,
    class_shares: Mapping[int, float] | None = None,
) -> Objective:
    """Return the objective for labels of one kind or the other.

    Parameters
    ----------
    labels : (N,) or (N, L) int array, or a structured array of several labels
        Of the training split.
    class_weights : mapping, optional
        From `loop.balanced_class_weights`.
    smoothing : float
        Share of a training label that is spread over all classes.
    n_classes : int
        Columns of the answers; only smoothing and class shares ask for it.
    class_shares : mapping, optional
        From `loop.class_shares`; of pictures of one class each.

    Returns
    -------
    Objective
    """
    if labels.ndim == SEVERAL:
        return Findings(class_weights, smoothing)
    if class_shares:
        return Adjusted(class_shares, smoothing, n_classes)
    return Smoothed(class_weights, smoothing, n_classes) if smoothing else OneClass(class_weights)


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


class Smoothed(OneClass):
    """Cross-entropy with a class that training is only nearly sure of.

    Parameters
    ----------
    class_weights : mapping, optional
        What each class counts.
    smoothing : float
        Share of a label that is spread over all classes.
    n_classes : int

    References
    ----------
    Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision, section 7.
    """

    def __init__(self, class_weights: Mapping[int, float] | None, smoothing: float, n_classes: int) -> None:
        super().__init__(class_weights)
        self._smoothing, self._n_classes = smoothing, n_classes

    def compiled(self) -> dict[str, Any]:
        """Return loss and metrics for `compile`.

        Returns
        -------
        dict
        """
        return {"loss": DENSE_LOSS, "metrics": ["accuracy"]}

    def targets(self, labels: Labels, *, weighted: bool) -> NDArray[Any]:
        """Return what the loss compares answers with: a share of each class.

        Parameters
        ----------
        labels : (N,) int array
        weighted : bool
            Whether it is for training: validation labels stay sure.

        Returns
        -------
        (N, C) float32 array
        """
        sure = np.eye(self._n_classes, dtype=np.float32)[labels]
        return _spread(sure, self._smoothing, self._n_classes) if weighted else sure


class Adjusted(Smoothed):
    """Cross-entropy of answers that are multiplied with the classes' shares: logit adjustment.

    The loss sees how frequent a class is, so that the network itself need not: it answers as if all were equally many.

    Parameters
    ----------
    class_shares : mapping
        Of the classes that training pictures are of, with sum 1.
    smoothing : float
        Share of a label that is spread over all classes.
    n_classes : int

    References
    ----------
    Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, equation 10 with a temperature of 1.
    """

    def __init__(self, class_shares: Mapping[int, float], smoothing: float, n_classes: int) -> None:
        super().__init__(None, smoothing, n_classes)
        # A class without pictures has no share: its score stays as it is.
        shares = [class_shares.get(each, 1.0) for each in range(n_classes)]
        self._logs = np.log(np.array(shares, np.float32))

    def compiled(self) -> dict[str, Any]:
        """Return loss and metrics for `compile`.

        Returns
        -------
        dict
        """

        def loss(targets: Any, answers: Any) -> Any:
            ops = keras().ops
            # As Keras' own cross-entropy keeps away from the logarithm of 0.
            scores = ops.log(ops.clip(answers, 1e-7, 1.0)) + self._logs
            return -ops.sum(targets * ops.log_softmax(scores, axis=-1), axis=-1)

        return {"loss": loss, "metrics": ["accuracy"]}


def _spread(shares: NDArray[Any], smoothing: float, n_ways: int) -> NDArray[np.float32]:
    return np.asarray((1 - smoothing) * shares + smoothing / n_ways, np.float32)


class Findings:
    """Binary cross-entropy of each finding, the mean over those that are known.

    Parameters
    ----------
    class_weights : mapping, optional
        By finding, what its being absent (0) and present (1) counts.
    smoothing : float
        Share of a training label that is spread over present and absent.
    """

    def __init__(self, class_weights: Mapping[int, Mapping[int, float]] | None, smoothing: float = 0.0) -> None:
        self._weights, self._smoothing = class_weights or {}, smoothing

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
        present = (labels == PRESENT).astype(np.float32)
        if weighted and self._smoothing:
            present = _spread(present, self._smoothing, len((ABSENT, PRESENT)))
        return np.hstack([present, weights]).astype(np.float32)


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
    right = ops.cast(ops.equal(present > 0.5, answers >= 0.5), "float32")  # noqa: PLR2004 - as the docstring says
    return ops.sum(known * right, axis=-1) / ops.sum(known, axis=-1)


class SeveralLabels:
    """The sum of one cross-entropy for each of several labels, each the mean over the pictures whose label is known.

    Parameters
    ----------
    widths : mapping
        From the name of each label to the number of its classes; their probabilities stand in this order.
    class_weights : mapping, optional
        By label, what each of its classes counts.
    smoothing : float
        Share of a training label that is spread over all of its classes.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        class_weights: Mapping[str, Mapping[int, float]] | None,
        smoothing: float = 0.0,
    ) -> None:
        self._widths, self._weights, self._smoothing = widths, class_weights or {}, smoothing

    def compiled(self) -> dict[str, Any]:
        """Return loss and metrics for `compile`: the accuracy of the first label, and of each further one.

        Returns
        -------
        dict
        """
        widths = list(self._widths.values())
        metrics = [
            _accuracy_of(place, widths, f"{name} accuracy" if place else "accuracy")
            for place, name in enumerate(self._widths)
        ]

        def loss(targets: Any, answers: Any) -> Any:
            return crossentropy_of_labels(targets, answers, widths)

        return {"loss": loss, "metrics": metrics}

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
        (N, 3H) float32 array
            The places of H classes among all probabilities, then H weights: 0 where a label is unknown, and 1 in the
            mean over the pictures, so that the mean of the weighted losses is the mean over what is known. Then H
            shares that are spread over all classes.
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
        spread = [np.full(len(labels), self._smoothing if weighted else 0.0)] * len(places)
        return np.stack([*places, *weights, *spread], axis=1).astype(np.float32)


def crossentropy_of_labels(targets: Any, answers: Any, widths: Sequence[int]) -> Any:
    """Return the loss of each picture, the sum over its known labels.

    Parameters
    ----------
    targets : (B, 3H) tensor
        From `SeveralLabels.targets`.
    answers : (B, C) tensor
        The probabilities of all labels, one behind the other.
    widths : sequence of int
        The number of classes of each label.

    Returns
    -------
    (B,) tensor
    """
    ops = keras().ops
    places, weights, spread = ops.split(targets, 3, axis=-1)
    # As Keras' own cross-entropy keeps away from the logarithm of 0.
    least = keras().config.epsilon()
    logs = ops.log(ops.clip(answers, least, 1.0 - least))
    true = ops.take_along_axis(logs, ops.cast(places, "int32"), axis=-1)
    ends = np.cumsum(widths)
    means = [ops.mean(logs[:, end - width : end], axis=-1) for end, width in zip(ends, widths, strict=True)]
    every = ops.stack(means, axis=-1)
    return -ops.sum(weights * ((1.0 - spread) * true + spread * every), axis=-1)


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
