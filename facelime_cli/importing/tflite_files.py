"""TFLite files from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facelime_cli.answering import runtimes
from facelime_cli.answering.runtimes import TFLITE
from facelime_cli.importing.checked import Checked, answers_of, around_of, facts_of, of_file, size_of
from facelime_cli.models import running, wrapping

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.importing.source import Source

STEP_WITHIN = 1 / 256
"""Between two answers of a network that is quantised up to its last operation (TFLite's specification of int8)."""
COARSE = 1e-3
"""From this step on, answers are coarse: effects of single regions are often no larger than some of these."""


def from_tflite(source: Source) -> Checked:
    """Check a TFLite file.

    Parameters
    ----------
    source : Source

    Returns
    -------
    Checked

    Raises
    ------
    FacelimeError
        Where it cannot be loaded, or its answers are no probabilities.
    """
    runtimes.check_installed("tflite", TFLITE)
    from facelime_cli.answering.tflite_files import Net

    net = Net(source.path, str(source.path), source.output)
    around = around_of(source, str(source.scaling), net.channels, channels_first=net.channels_first, reads=net.reads)
    wrapping.check_channels(around.scaling, net.channels)
    size = size_of(source, net.sides)
    classifier = answers_of(around, net.run(), source)
    answers = classifier(running.trial_pictures(size))
    step = net.steps_out.step or _step_within(answers)
    facts = facts_of(source, around, answers, TFLITE, size, step=step)
    warnings = []
    if step > COARSE and not source.activation and not source.values:
        warnings.append(
            f"{source.path.name} answers in steps of {step:.2g}: smaller effects of a region are not seen. "
            "A file with float32 outputs shows them."
        )
    return of_file(source, TFLITE, facts, classifier, tuple(warnings))


def _step_within(answers: NDArray[np.float32]) -> float:
    """Return the step between answers that are floats, but were integers before."""
    places = answers / STEP_WITHIN
    return STEP_WITHIN if (abs(places - places.round()) < COARSE).all() else 0.0
