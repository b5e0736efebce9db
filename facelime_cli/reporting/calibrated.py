"""How far a model's probabilities are from what happens, and how far they were before it was calibrated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

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


def temperatures_of(model: Artifact, here: Answered) -> list[float]:
    """Return the temperature of a model, or of its network for each fold where each answers what it has not seen.

    Parameters
    ----------
    model : Artifact
    here : Answered

    Returns
    -------
    list of float
        Empty for a model that is not calibrated, and for a mean of networks, whose temperatures cannot be undone.
    """
    noted = [model.facts] if here.cases.members is None else model.facts["folds"]
    found = [each["temperature"] for each in noted if "temperature" in each]
    return found if len(found) == len(noted) else []


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
    temperatures = temperatures_of(model, here)
    if not temperatures:
        return None
    members = np.zeros(len(here.probabilities), int) if here.cases.members is None else here.cases.members
    own = np.array(temperatures)[members]
    undone = calibration.at_temperature(here.probabilities, 1 / own, independent=runtimes.independent(model))
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
        `calibration_figures`: those of `core.calibration.figures`; of a calibrated model also its `temperatures`, one
        or one for each fold, and what the figures were `before`. Empty for a model that answers with values.
    """
    if runtimes.answers_values(model):
        return {}
    found: dict[str, Any] = dict(calibration.figures(here.cases.labels, here.probabilities))
    earlier = before(model, here)
    if found and earlier is not None:
        found["temperatures"] = temperatures_of(model, here)
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
    lowest, highest = (f"{each(found['temperatures']):.2f}" for each in (min, max))
    shown = f"temperature {lowest}" if lowest == highest else f"temperatures {lowest} to {highest}"
    heading = ("calibration", "before", f"after, at {shown}")
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
        several = len(found["temperatures"]) > 1
        for fold, value in enumerate(found["temperatures"]):
            yield f"temperature of fold {fold}" if several else "temperature", value
        for name, value in found["before"].items():
            yield f"{name} before calibration", value
