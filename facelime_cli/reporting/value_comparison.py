"""How evaluations of models that answer with values differ, on the same pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.console import Table
from facelime_cli.core import metrics, value_figures
from facelime_cli.errors import FacelimeError
from facelime_cli.reporting.evaluation import by_round
from facelime_cli.reporting.quantities import digits_for
from facelime_cli.reporting.values_report import WITHOUT_UNIT, WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

COMPARED = ("mae", "rmse", "r2", "bias")
"""Figures by which models are compared."""


def figures(evaluation: Artifact) -> dict[str, dict[str, float | None]]:
    """Return the figures of each value of a model.

    Parameters
    ----------
    evaluation : Artifact
    """
    return {name: {figure: its[figure] for figure in COMPARED} for name, its in evaluation.facts["values"].items()}


def differences(first: Artifact, second: Artifact, rounds: int, seed: int) -> dict[str, Any]:
    """Return how the second model's figures differ from those of the first.

    Parameters
    ----------
    first, second : Artifact
        Evaluations of the same pictures.
    rounds, seed : int
        Of the bootstrap, which draws the same groups for both.

    Returns
    -------
    dict
        By value and by figure: `difference` and `interval`.

    Raises
    ------
    FacelimeError
        Where values, units or the known values are not the same.
    """
    if {*first.facts["values"]} != {*second.facts["values"]} or first.facts["unit"] != second.facts["unit"]:
        raise FacelimeError(
            f"{first.inputs['model']['id']} and {second.inputs['model']['id']} answer with other values or in another "
            "unit; import them again with the same --names and --unit."
        )
    found = {}
    for name in first.facts["values"]:
        (known, before), (_, after) = (_rounds(each, name, rounds, seed) for each in (first, second))
        if not np.array_equal(known, _labels(second, name), equal_nan=True):
            raise FacelimeError(f"the known values of {name} are not the same for both; name one column with --truth.")
        one, other = first.facts["values"][name], second.facts["values"][name]
        found[name] = {
            figure: {
                "difference": None if None in {one[figure], other[figure]} else other[figure] - one[figure],
                "interval": before and after and metrics.interval(after[figure] - before[figure]),
            }
            for figure in COMPARED
        }
    return found


def _labels(evaluation: Artifact, name: str) -> NDArray[np.float64]:
    return np.asarray(evaluation.read("labels")[:, evaluation.facts["classes"].index(name)])


def _rounds(
    evaluation: Artifact, name: str, rounds: int, seed: int
) -> tuple[NDArray[np.float64], dict[str, Any] | None]:
    """Return the known values of every picture, and the figures of each round of the bootstrap."""
    labels = _labels(evaluation, name)
    known = np.isfinite(labels)
    said = evaluation.read("probabilities")[known, evaluation.facts["classes"].index(name)].astype(np.float64)
    groups = [group for group, has in zip(evaluation.texts("group"), known, strict=True) if has]
    drawn = by_round(lambda counts: value_figures.resampled(labels[known], said, counts), groups, rounds, seed)
    return labels, drawn


def tables(evaluations: Sequence[Artifact], pairs: Sequence[Mapping[str, Any]], intervals: str) -> list[Table]:
    """Return a comparison as tables: the models, then their differences.

    Parameters
    ----------
    evaluations : sequence of Artifact
    pairs : sequence of mapping
        Each with `first`, `second` and `values`.
    intervals : str
        What the intervals are.
    """
    first = evaluations[0]
    unit = f" ({first.facts['unit']})" if first.facts["unit"] else ""
    titles = [WORDS[figure] + ("" if figure == WITHOUT_UNIT else unit) for figure in COMPARED]
    rows = [
        (str(each.inputs["model"]["id"]), name, *(_number(its[figure]) for figure in COMPARED))
        for each in evaluations
        for name, its in each.facts["values"].items()
    ]
    lines = [
        (f"{pair['second']} − {pair['first']}", name, *(_signed(its[figure]) for figure in COMPARED))
        for pair in pairs
        for name, its in pair["values"].items()
    ]
    title = f"{first.n} pictures in {first.facts['groups']} groups"
    return [Table(("model", "value", *titles), rows, title), Table(("difference", "value", *titles), lines, intervals)]


def _number(value: float | None) -> str:
    return "none" if value is None else _spelled(f"{value:.4g}")


def _signed(each: Mapping[str, Any]) -> str:
    difference, interval = each["difference"], each["interval"]
    if difference is None:
        return "none"
    # Digits below those of the interval say nothing.
    digits = digits_for(max(abs(each) for each in (difference, *(interval or ()))))
    if interval is None:
        return _spelled(f"{difference:+.{digits}f}")
    return _spelled(f"{difference:+.{digits}f} ({interval[0]:+.{digits}f} to {interval[1]:+.{digits}f})")


def _spelled(text: str) -> str:
    return text.replace("-", "−")
