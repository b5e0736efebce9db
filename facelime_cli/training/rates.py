"""Which learning rate to begin with: some steps at rates that rise, and where the loss falls fastest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.errors import FacelimeError
from facelime_cli.models.backend import memory_errors_named
from facelime_cli.training import loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from facelime_cli.training.loop import Phase, Training

STEPS = 100
LOWEST, HIGHEST = 1e-6, 1.0
"""Rates of the first and the last step."""
MEMORY = 0.9
"""Share of the mean of the losses so far in the smoothed loss: one batch alone says little."""
AROUND = 8
"""Steps on each side that a fall is measured over: half of a power of ten."""
TOO_MUCH = 3.0
"""Times the least smoothed loss from which on training diverges, and the test is over."""


@dataclass(frozen=True)
class RangeTest:
    """What the steps of a test brought.

    Attributes
    ----------
    rates : list of float
        Of each step.
    losses : list of float
        Smoothed, of each step.
    suggestion : float
        The rate at which the loss falls fastest.
    """

    rates: list[float]
    losses: list[float]
    suggestion: float


def range_test(phase: Phase, how: Training, advance: Callable[[int], None]) -> RangeTest:
    """Train a network for some steps at rates that rise, and see what the loss does. Its weights are spoilt by it.

    Parameters
    ----------
    phase : Phase
        What is trained.
    how : Training
    advance : callable
        Takes 1 after each step.

    Returns
    -------
    RangeTest

    Raises
    ------
    FacelimeError
        Where the loss falls at no rate, or a batch does not fit into memory.

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3.
    """
    rates: list[float] = np.geomspace(LOWEST, HIGHEST, STEPS).tolist()
    losses: list[float] = []
    with memory_errors_named():
        for loss in loop.losses_at(phase, how, rates):
            if not math.isfinite(loss):
                break
            losses.append(loss)
            advance(1)
            means = smoothed(losses)
            if means[-1] > TOO_MUCH * max(min(means), 1e-3):
                break
    if not losses:
        raise FacelimeError("the loss is no number at any learning rate; check the weights and the dataset's pictures.")
    tried = rates[: len(losses)]
    return RangeTest(tried, smoothed(losses), suggested(tried, losses))


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return the running mean of losses, in which the last ones count most.

    Parameters
    ----------
    losses : sequence of float

    Returns
    -------
    list of float

    Examples
    --------
    >>> [round(each, 3) for each in smoothed([1.0, 1.0, 0.0])]
    [1.0, 1.0, 0.631]
    """
    found, mean = [], 0.0
    for place, loss in enumerate(losses, 1):
        mean = MEMORY * mean + (1 - MEMORY) * loss
        # The mean began with 0, which is taken out again.
        found.append(mean / (1 - MEMORY**place))
    return found


def suggested(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Return the rate at which the loss falls fastest, before it is least.

    Parameters
    ----------
    rates : sequence of float
        Each by the same factor higher than the one before.
    losses : sequence of float
        Of the steps themselves.

    Returns
    -------
    float

    Raises
    ------
    FacelimeError
        Where the loss does not fall.

    Notes
    -----
    A fall is the mean of the `AROUND` losses before a step less that of as many from it on: batches differ by more than
    one step changes.
    """
    means = smoothed(losses)
    least = min(range(len(means)), key=means.__getitem__)
    places = range(AROUND, min(least, len(losses) - AROUND) + 1)
    falls = {place: fmean(losses[place - AROUND : place]) - fmean(losses[place : place + AROUND]) for place in places}
    if not falls or max(falls.values()) <= 0:
        raise FacelimeError(
            f"the loss falls at no learning rate from {LOWEST:g} to {HIGHEST:g}; "
            "unfreeze layers with --freeze none, or try another --batch-size."
        )
    return rates[max(falls, key=falls.__getitem__)]
