"""Calibration: a trained network gets the temperature that makes it as sure as it is right on the validation split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import calibration
from facelime_cli.models import outputs, running, tempering
from facelime_cli.models.running import Labelled

if TYPE_CHECKING:
    from facelime_cli.store.units import Unit
    from facelime_cli.training.finetuning import Listener, Splits, Trained

NO_VALIDATION = (
    "there is no validation split, so the network is not calibrated: its probabilities may be surer than it is right."
)


@dataclass(frozen=True)
class Calibrating:
    """A step after training, see `finetuning.Step`.

    Attributes
    ----------
    console : Listener
        Is told of the temperature.
    batch_size : int
        Pictures per call.
    """

    console: Listener
    batch_size: int

    def __call__(self, trained: Trained, splits: Splits, unit: Unit) -> Trained:
        """Return the network with its temperature inside, and the temperature among its facts.

        Parameters
        ----------
        trained : Trained
        splits : Splits
            The temperature is found on the validation split.
        unit : Unit
            Not needed.

        Returns
        -------
        Trained
        """
        del unit
        if not len(splits.validation.rows):
            self.console.warn(NO_VALIDATION)
            return trained
        if splits.validation.labels.dtype.names:
            return self._each(trained, splits.validation)
        temperature = self._temperature(trained.network, splits.validation)
        self.console.note(f"calibrated: the scores are divided by a temperature of {temperature:.3f}")
        network = tempering.with_temperature(trained.network, temperature)
        return replace(trained, network=network, facts={**trained.facts, "temperature": temperature})

    def _each(self, trained: Trained, split: Labelled) -> Trained:
        """Calibrate each of several outputs by the pictures whose label is known."""
        temperatures = {}
        names = split.labels.dtype.names or ()
        for name in names:
            known = np.flatnonzero(split.labels[name] >= 0)
            if not len(known):
                self.console.warn(f"no validation picture has the label {name}, so this output is not calibrated.")
                continue
            part = Labelled(split.read, split.rows[known], split.labels[name][known])
            temperatures[name] = self._temperature(outputs.with_one(trained.network, name, "the network"), part)
        told = ", ".join(f"{each:.3f} ({name})" for name, each in temperatures.items())
        self.console.note(f"calibrated: the scores are divided by temperatures of {told}")
        network = tempering.each_with_temperature(trained.network, temperatures)
        first = {"temperature": temperatures[names[0]]} if names[0] in temperatures else {}
        return replace(trained, network=network, facts={**trained.facts, **first, "temperatures": temperatures})

    def _temperature(self, network: Any, split: Labelled) -> float:
        # The scores themselves: a probability that is rounded to 1 has lost them.
        scores = running.probabilities(tempering.scores_of(network), split, self.batch_size)
        return calibration.temperature_for(scores, split.labels)
