"""Calibration: a trained network gets the temperature that makes it as sure as it is right on the validation split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from facelime_cli.core import calibration
from facelime_cli.models import running, tempering

if TYPE_CHECKING:
    from facelime_cli.models.running import Labelled
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
        temperature = self._temperature(trained, splits.validation)
        self.console.note(f"calibrated: the scores are divided by a temperature of {temperature:.3f}")
        network = tempering.with_temperature(trained.network, temperature)
        return replace(trained, network=network, facts={**trained.facts, "temperature": temperature})

    def _temperature(self, trained: Trained, split: Labelled) -> float:
        # The scores themselves: a probability that is rounded to 1 has lost them.
        scores = running.probabilities(tempering.scores_of(trained.network), split, self.batch_size)
        return calibration.temperature_for(scores, split.labels)
