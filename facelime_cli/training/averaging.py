"""The mean of a network's weights over its last steps, which answers better than the weights of any one step."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.models.backend import keras

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

RAMP = 10
"""After so many steps the mean reaches over half as many; until then it forgets faster, and with it where it began."""


class Average:
    """An exponential moving average of some variables.

    Parameters
    ----------
    variables : sequence of keras.Variable
        What is trained.
    decay : float
        What stays of the mean in a step, in the long run; 0 for no mean at all.
    values : sequence of array, optional
        The mean so far, from `values`; where the variables stand now without it.

    References
    ----------
    Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging. The decay rises with the steps as
    in TensorFlow's `ExponentialMovingAverage` with `num_updates`: min(decay, (1 + t) / (10 + t)).
    """

    def __init__(self, variables: Sequence[Any], decay: float, values: Sequence[NDArray[Any]] = ()) -> None:
        self._variables = list(variables) if decay else []
        self._decay = decay
        self.values = [np.array(each) for each in values] or self._current()

    def _current(self) -> list[NDArray[Any]]:
        ops = keras().ops
        return [np.array(ops.convert_to_numpy(each)) for each in self._variables]

    def update(self, step: int) -> None:
        """Take in what a step has made of the variables.

        Parameters
        ----------
        step : int
            From 1, of all steps so far.
        """
        decay = min(self._decay, (1 + step) / (RAMP + step))
        pairs = zip(self.values, self._current(), strict=True)
        self.values = [decay * mean + (1 - decay) * now for mean, now in pairs]

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Let the variables be their mean for a while.

        Yields
        ------
        None
        """
        before = self._current()
        self._assign(self.values)
        try:
            yield
        finally:
            self._assign(before)

    def _assign(self, values: Sequence[NDArray[Any]]) -> None:
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
