"""Which learning rate to begin with: a few steps at rates that rise, and where the loss falls fastest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.models.backend import memory_errors_named
from facelime_cli.training import loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from facelime_cli.training.loop import Phase, Training

    Floats = NDArray[np.float64]

STEPS = 100
LOWEST, HIGHEST = 1e-6, 1.0
"""Rates of the first and the last step."""
MEMORY = 0.9
"""Share of the mean of the losses so far in the smoothed loss: one batch alone says little."""
TOO_MUCH = 4.0
"""Times the least smoothed loss from which on the test is over."""
FEWEST = 10
"""Steps before the end that a suggestion needs."""


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
        The rate at which the smoothed loss falls fastest.
    """

    rates: list[float]
    losses: list[float]
    suggestion: float


def range_test(phase: Phase, how: Training, advance: Callable[[int], None]) -> RangeTest:
    """Train a network for some steps at rates that rise, and return what the loss does; its weights are spoilt by it.

    Parameters
    ----------
    phase : Phase
        Compiled for training, see `loop.compiled`.
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
    rates = np.geomspace(LOWEST, HIGHEST, STEPS)
    losses: list[float] = []
    with memory_errors_named():
        for rate, loss in zip(rates, loop.losses_at(phase, how, rates.tolist()), strict=False):
            del rate
            losses.append(loss)
            advance(1)
            if not math.isfinite(loss) or _is_over(losses):
                break
    kept = smoothed([each for each in losses if math.isfinite(each)])
    return RangeTest(rates[: len(kept)].tolist(), kept, suggested(rates[: len(kept)].tolist(), kept))
