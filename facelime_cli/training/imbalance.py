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
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.training.probing import Features, Probe

ENOUGH = 2.5
"""Times that the largest class has the smallest one's pictures: with less, classes are taken as equal.

At 2 to 1, balanced accuracy gains less than a point, and probabilities are less true; at 3 to 1 it gains two. The
figures are in docs/training.md.
"""


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


def is_equal(labels: NDArray[np.int64]) -> bool:
    """Tell whether no class has many more training pictures than another.

    Parameters
    ----------
    labels : (N,) or (N, L) int64 array
        At least one picture.

    Returns
    -------
    bool
        True for findings: each has a probability of its own, which stays true to how often it is there.
    """
    if labels.ndim == SEVERAL:
        return True
    _, counts = np.unique(labels, return_counts=True)
    return bool(counts.max() < ENOUGH * counts.min())


def choose(
    train: Features, validation: Features, strengths: Sequence[float] = probing.STRENGTHS, seed: int = 0
) -> Choice:
    """Return how unequal classes are to be trained, by a probe on frozen features for each way.

    Parameters
    ----------
    train, validation : Features
    strengths : sequence of float
        Inverse strengths that the probes choose from.
    seed : int
        Of the folds in which they do.

    Returns
    -------
    Choice
        `none` where classes are equal, see `is_equal`; `balanced` where no validation picture can tell.

    Notes
    -----
    A linear model whose loss adds the logarithms of the classes' shares to the scores is the plain one with other
    biases: what the loss adds, the biases lack.

    References
    ----------
    Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, section 5.
    """
    if is_equal(train.labels):
        return Choice(NONE, {})
    if not len(validation.labels):
        return Choice(BALANCED, {})
    plain = probing.fit_probe(train, None, strengths, seed)
    weights = loop.balanced_class_weights(train.labels)
    # Equally strong, so that nothing but the way differs.
    weighed = probing.fit_probe(train, weights, seed=seed, fixed=plain.strength)
    shifted = adjusted(plain, loop.class_shares(train.labels))
    losses = {
        name: balanced_log_loss(each.logits(validation.values), validation.labels)
        for name, each in ((BALANCED, weighed), (ADJUSTED, shifted))
    }
    return Choice(min(losses, key=losses.__getitem__), losses)


def adjusted(probe: Probe, class_shares: Mapping[int, float]) -> Probe:
    """Return the probe that logit adjustment fits, from one that was fitted without.

    Parameters
    ----------
    probe : Probe
    class_shares : mapping
        From `loop.class_shares`. A class without pictures has none: its score stays as it is.

    Returns
    -------
    Probe
    """
    shares = [class_shares.get(each, 1.0) for each in range(len(probe.bias))]
    return replace(probe, bias=probe.bias - np.log(np.array(shares, np.float32)))


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
