"""Several labels by the recipe `auto`: a probe for each, and what judges all of them together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.models.backbones import NONE
from facelime_cli.training import auto, imbalance, probing
from facelime_cli.training.recipes import BALANCED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.training.loop import Training
    from facelime_cli.training.probing import Features, Probe

    Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Alone:
    """One of the labels: its name, the pictures of which it is known, its columns among the answers, and its judge."""

    name: str
    known: NDArray[np.bool_]
    columns: slice
    judge: auto.Judge

    def own(self, answers: Floats) -> Floats:
        return answers[self.known, self.columns]


@dataclass(frozen=True)
class Judges:
    """Compares networks by all of their labels, see `loop.Judge`.

    Attributes
    ----------
    single : tuple
        What judges each label that is known of a picture; a label that is known of none counts nothing.
    """

    single: tuple[_Alone, ...]

    @staticmethod
    def of(labels: NDArray[Any], widths: Sequence[int], weights: Mapping[str, Mapping[int, Any]] | None) -> Judges:
        """Return what judges answers to some pictures.

        Parameters
        ----------
        labels : (N,) structured int array
            -1 where a label is unknown.
        widths : sequence of int
            The number of classes of each label.
        weights : mapping, optional
            By label, what each of its classes counts.

        Returns
        -------
        Judges
        """
        single, begin = [], 0
        for name, width in zip(labels.dtype.names or (), widths, strict=True):
            known = labels[name] >= 0
            judge = auto.Judge(labels[name][known], (weights or {}).get(name))
            if known.any():
                single.append(_Alone(name, known, slice(begin, begin + width), judge))
            begin += width
        return Judges(tuple(single))

    def figures(self, answers: Floats) -> dict[str, float]:
        """Return how good answers are.

        Parameters
        ----------
        answers : (N, C) float32 array
            The probabilities of all labels, one behind the other.

        Returns
        -------
        dict
            `loss`, the sum over the labels; `accuracy` of the first label, and that of each other by its name.
        """
        each = [one.judge.figures(one.own(answers)) for one in self.single]
        accuracies = {f"{one.name} accuracy": its["accuracy"] for one, its in zip(self.single, each, strict=True)}
        first, *others = accuracies
        found = {"loss": sum(its["loss"] for its in each), "accuracy": accuracies[first]}
        return found | {name: accuracies[name] for name in others}

    def losses(self, answers: Floats) -> NDArray[np.float64]:
        """Return what each picture adds to the loss, the sum over the labels.

        Parameters
        ----------
        answers : (N, C) float32 array

        Returns
        -------
        (N,) float64 array
            Their mean is the loss.
        """
        added = np.zeros(len(answers))
        for one in self.single:
            # A mean over the pictures of which the label is known.
            added[one.known] += one.judge.losses(one.own(answers)) * len(answers) / one.known.sum()
        return added

    def accepts(self, answers: Floats) -> bool:
        """Return whether answers are not worse than the probes', label by label.

        Parameters
        ----------
        answers : (N, C) float32 array

        Returns
        -------
        bool
        """
        return all(one.judge.accepts(one.own(answers)) for one in self.single)

    def against(self, answers: Floats) -> Judges:
        """Return what accepts nothing that is less often right than some answers, label by label.

        Parameters
        ----------
        answers : (N, C) float32 array

        Returns
        -------
        Judges
        """
        return Judges(tuple(replace(one, judge=one.judge.against(one.own(answers))) for one in self.single))


def fit_probes(features: Features, how: Training, strengths: Sequence[float], fixed: Sequence[float] = ()) -> Probe:
    """Return a regression for each label, fitted to the pictures of which it is known, one behind the other.

    Parameters
    ----------
    features : Features
        Their labels are a structured array.
    how : Training
        Knows the number of classes of each label, and what these count.
    strengths : sequence of float
        Inverse strengths to choose from, for each label on its own.
    fixed : sequence of float
        The inverse strength of each label, where nothing is to be chosen.

    Returns
    -------
    Probe
    """
    single = []
    for place, (name, width) in enumerate(zip(features.labels.dtype.names or (), how.widths, strict=True)):
        known = np.flatnonzero(features.labels[name] >= 0)
        labels, groups = features.labels[name][known], features.groups[known]
        of_one = probing.Features(features.values[known], labels, groups, width)
        weights = (how.class_weights or {}).get(name)
        single.append(probing.fit_probe(of_one, weights, strengths, how.seed, fixed[place : place + 1]))
    losses = [each.log_loss for each in single if np.isfinite(each.log_loss)]
    return probing.Probe(
        np.concatenate([each.coef for each in single], axis=1),
        np.concatenate([each.bias for each in single]),
        tuple(strength for each in single for strength in each.strength),
        sum(losses) if losses else float("nan"),
    )


def weights_for(labels: NDArray[Any]) -> str:
    """Return how the classes of several labels are weighed where nobody has said it.

    Parameters
    ----------
    labels : (N,) structured int array
        Of the training split; -1 where a label is unknown.

    Returns
    -------
    str
        A key of `CLASS_WEIGHTS`: balanced where any label has unequal classes, each by its own.
    """
    known = [labels[name][labels[name] >= 0] for name in labels.dtype.names or ()]
    return NONE if all(imbalance.is_equal(each) for each in known if len(each)) else BALANCED
