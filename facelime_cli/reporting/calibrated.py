"""How far a model's probabilities are from what happens, and how far they were before it was calibrated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facelime_cli.answering import runtimes
from facelime_cli.console import Table
from facelime_cli.core import calibration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from facelime_cli.reporting.evaluation import Answered
    from facelime_cli.store.artifacts import Artifact

FIGURES = {"expected_calibration_error": "calibration error", "brier": "Brier score"}
"""The figures, with their words on a page."""
NAME = "calibration_figures"
"""Of these figures among the facts of an evaluation."""


def before(model: Artifact, here: Answered) -> Answered | None:
    """Return what a model said before it was calibrated.

    Parameters
    ----------
    model : Artifact
    here : Answered
        What it says now.

    Returns
    -------
    Answered or None
        None for a model that is not calibrated.
    """
    temperature = model.facts.get("temperature")
    if temperature is None:
        return None
    undone = calibration.at_temperature(here.probabilities, 1 / temperature, independent=runtimes.independent(model))
    return replace(here, probabilities=undone)


def figures(model: Artifact, here: Answered) -> dict[str, Any]:
    """Return the facts of an evaluation that say whether the probabilities can be believed.

    Parameters
    ----------
    model : Artifact
    here : Answered

    Returns
    -------
    dict
        `calibration_figures`: those of `core.calibration.figures`; of a calibrated model also its `temperature`, and
        what they were `before`. Empty for a model that answers with values.
    """
    if runtimes.answers_values(model):
        return {}
    found: dict[str, Any] = dict(calibration.figures(here.cases.labels, here.probabilities))
    earlier = before(model, here)
    if found and earlier is not None:
        found["temperature"] = model.facts["temperature"]
        found["before"] = calibration.figures(earlier.cases.labels, earlier.probabilities)
    return {NAME: found}


def tables(facts: Mapping[str, Any]) -> list[Table]:
    """Return the figures of a calibrated model as a table: before and after.

    Parameters
    ----------
    facts : mapping
        Of an evaluation.

    Returns
    -------
    list of Table
        Empty where the model is not calibrated, or an older facelime evaluated it.
    """
    found = facts.get(NAME, {})
    if "before" not in found:
        return []
    heading = ("calibration", "before", f"after, at temperature {found['temperature']:.2f}")
    rows = [(words, f"{found['before'][name]:.3f}", f"{found[name]:.3f}") for name, words in FIGURES.items()]
    return [Table(heading, rows)]


def csv_rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the figures that figures.csv lists: their names and values.

    Parameters
    ----------
    facts : mapping
        Of an evaluation.
    """
    found = facts.get(NAME, {})
    if "brier" in found:
        yield "brier", found["brier"]
    if "before" in found:
        yield "temperature", found["temperature"]
        for name, value in found["before"].items():
            yield f"{name} before calibration", value
