"""How the learning rate changes: from the losses so far to an epoch's rate, without a state that a stop could lose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


SHORTEST = 2
"""Steps until the rate is whole, at least: where a share of all steps is less than one, the first is still careful."""


def warm_up(step: float, share: float, steps: int) -> float:
    """Return what a rate is multiplied with while it rises.

    Parameters
    ----------
    step : float
        Steps that are over.
    share : float
        Of all steps, over which the rate rises; 0 for not at all.
    steps : int
        All of them.

    Returns
    -------
    float

    Examples
    --------
    >>> [warm_up(step, 0.05, 100) for step in (0, 3, 4)], [warm_up(step, 0.05, 10) for step in (0, 1)]
    ([0.2, 0.8, 1.0], [0.5, 1.0])
    """
    return min(1.0, (step + 1) / max(share * steps, SHORTEST)) if share else 1.0


def constant(rate: float, epoch: float, epochs: int, losses: Sequence[float]) -> float:
    """Return the first rate.

    Parameters
    ----------
    rate : float
        Rate of the first epoch.
    epoch : float
        The epoch, counted from 0; between two of them where the rate changes with every step.
    epochs : int
        How many there are at most.
    losses : sequence of float
        Monitored loss of each epoch before this one.

    Returns
    -------
    float
    """
    del epoch, epochs, losses
    return rate


def cosine(rate: float, epoch: float, epochs: int, losses: Sequence[float]) -> float:
    """Return a rate that falls along half a cosine, down to 0 after the last epoch.

    Parameters
    ----------
    rate, epoch, epochs, losses
        As for `constant`.

    Returns
    -------
    float

    References
    ----------
    Loshchilov and Hutter 2017, SGDR: Stochastic Gradient Descent with Warm Restarts, equation 5, without restarts.
    """
    del losses
    return rate * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def plateau(rate: float, epoch: float, epochs: int, losses: Sequence[float], *, patience: int, factor: float) -> float:
    """Return a rate that is lowered each time the loss has not fallen for some epochs.

    Parameters
    ----------
    rate, epoch, epochs, losses
        As for `constant`.
    patience : int
        After how many epochs without a lower loss.
    factor : float
        What the rate is multiplied with then.

    Returns
    -------
    float

    Notes
    -----
    The same rule as `keras.callbacks.ReduceLROnPlateau`, computed anew from the losses in every epoch.
    """
    del epoch, epochs
    best, waited = math.inf, 0
    for loss in losses:
        if loss < best:
            best, waited = loss, 0
        else:
            waited += 1
        if waited == patience:
            rate *= factor
            waited = 0
    return rate
