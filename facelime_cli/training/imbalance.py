"""How unequal classes are trained: by weights, or by their shares inside the loss, whichever fits held-out pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.labels import SEVERAL
from facelime_cli.models.backbones import NONE
from facelime_cli.training import loop, probing
from facelime_cli.training.recipes import ADJUSTED, BALANCED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facelime_cli.training.probing import Features

ENOUGH = 1.5
"""Times that the largest class has the smallest one's pictures: with less, classes are taken as equal."""


@dataclass(frozen=True)
class Choice:
    """How a training meets unequal classes.

    Attributes
    ----------
    class_weights : str
        A key of `CLASS_WEIGHTS`.
    losses : dict
        By these keys, the balanced log-loss of a probe on the validation pictures: the mean over the classes of the
        mean over their pictures. Empty where nothing was compared.
    """

    class_weights: str
    losses: Mapping[str, float]

    @property
    def sentence(self) -> str:
        """What to tell of it; empty where nothing was compared."""
        if not self.losses:
            return ""
        words = ", ".join(f"{name} {loss:.3f}" for name, loss in self.losses.items())
        return f"unequal classes: --class-weights {self.class_weights} (balanced validation log-loss: {words})"


def choose(train: Features, validation: Features, strength: float | None = None) -> Choice:
    """Return how unequal classes are to be trained, by a probe on frozen features for each way.

    Parameters
    ----------
    train, validation : Features
    strength : float, optional
        The probe's inverse strength, where it is known; else each way chooses its own.

    Returns
    -------
    Choice
        `none` where no class has 1.5 times the pictures of another, `balanced` for several findings per picture and
        where no validation picture can tell.

    Notes
    -----
    A linear model whose loss adds the logarithms of the classes' shares to the scores is the plain one with other
    biases: what the loss adds, the biases lack. So the probe of logit adjustment costs no fit of its own.

    References
    ----------
    Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, section 5.
    """
    if train.labels.ndim == SEVERAL:
        return Choice(BALANCED, {})
    counts = np.bincount(train.labels, minlength=train.n_classes)
    present = counts[counts > 0]
    if present.max() < ENOUGH * present.min():
        return Choice(NONE, {})
    if not len(validation.labels):
        return Choice(BALANCED, {})
    strengths = probing.STRENGTHS if strength is None else (strength,)
    plain = probing.fit_probe(train, strengths=strengths)
    weighed = probing.fit_probe(train, loop.balanced_class_weights(train.labels), strengths)
    # A class without pictures has no share: its score stays as it is.
    adjusted = replace(plain, bias=plain.bias - np.log(np.maximum(counts, 1) / counts.sum()).astype(np.float32))
    losses = {
        name: balanced_log_loss(each.logits(validation.values), validation.labels)
        for name, each in ((BALANCED, weighed), (ADJUSTED, adjusted))
    }
    return Choice(min(losses, key=losses.__getitem__), losses)


def balanced_log_loss(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the mean over the classes of the mean log-loss of their pictures.

    Parameters
    ----------
    scores : (N, C) float32 array
        Before the softmax.
    labels : (N,) int64 array
        At least one.

    Returns
    -------
    float

    Examples
    --------
    >>> scores = np.log(np.array([[0.5, 0.5], [0.5, 0.5], [0.75, 0.25]], np.float32))
    >>> round(balanced_log_loss(scores, np.array([0, 0, 1])), 3)
    1.04
    """
    from scipy.special import log_softmax

    losses = -log_softmax(scores.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    return float(np.mean([losses[labels == each].mean() for each in np.unique(labels)]))
