"""How evaluations of the same pictures differ: figures with intervals of the paired bootstrap, and their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering.runtimes import answers_values
from facelime_cli.console import Table
from facelime_cli.core import findings, metrics
from facelime_cli.errors import FacelimeError
from facelime_cli.reporting import value_comparison
from facelime_cli.reporting.classes_scored import RESAMPLED
from facelime_cli.reporting.evaluation import by_round
from facelime_cli.reporting.evaluation_report import share_of
from facelime_cli.reporting.findings_report import WORDS, note_of
from facelime_cli.store.pictures import is_multilabel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

SAYS_INTERVALS = "with 95 % intervals of the paired bootstrap by group"


def compared(evaluations: Sequence[Artifact]) -> tuple[str, ...]:
    """Return the names of the figures over all classes, or over all findings, that evaluations are compared by.

    Parameters
    ----------
    evaluations : sequence of Artifact
        At least one.
    """
    return findings.ALL if is_multilabel(evaluations[0]) else RESAMPLED


def figures(evaluation: Artifact) -> dict[str, Any]:
    """Return what is said of each model: who it is, and its figures.

    Parameters
    ----------
    evaluation : Artifact
    """
    if answers_values(evaluation):
        return {
            "model": _model(evaluation),
            "evaluation": evaluation.id,
            "values": value_comparison.figures(evaluation),
        }
    named = {name: evaluation.facts[name] for name in compared([evaluation])}
    return {"model": _model(evaluation), "evaluation": evaluation.id, **named}


def pair(first: Artifact, second: Artifact, rounds: int, seed: int) -> dict[str, Any]:
    """Return how the second model differs from the first.

    Parameters
    ----------
    first, second : Artifact
        Evaluations.
    rounds, seed : int
        Of the bootstrap, which draws the same groups for both.

    Returns
    -------
    dict
        `first` and `second`, the models; `differences`, by figure, each with its `interval`. Of one class for each
        picture also `mcnemar`; of several findings also `findings`, the differences of each finding by its name. Of
        values instead `values`, the differences of each value by its name.

    Raises
    ------
    FacelimeError
        Where they are of different pictures, classes or findings.
    """
    _check_same(first, second)
    if answers_values(first):
        made = {"first": _model(first), "second": _model(second)}
        return {**made, "values": value_comparison.differences(first, second, rounds, seed)}
    before, after = (by_round(_resampling(each), each.texts("group"), rounds, seed) for each in (first, second))
    changes: dict[str, Any] = {}
    if before is not None and after is not None:
        changes = {name: after[name] - before[name] for name in before}
    found: dict[str, Any] = {"first": _model(first), "second": _model(second)}
    found["differences"] = {
        name: _difference(first.facts[name], second.facts[name], changes.get(name)) for name in compared([first])
    }
    if not is_multilabel(first):
        found["mcnemar"] = metrics.mcnemar(_is_right(first), _is_right(second))
        return found
    found["findings"] = {}
    for place, name in enumerate(_findings(first)):
        one, other = first.facts["findings"][name], second.facts["findings"][name]
        found["findings"][name] = {"enough": one["enough"]} | {
            figure: _difference(one[figure], other[figure], changes[figure][:, place] if changes else None)
            for figure in findings.EACH
        }
    return found


def _model(evaluation: Artifact) -> str:
    return str(evaluation.inputs["model"]["id"])


def _check_same(first: Artifact, second: Artifact) -> None:
    if answers_values(first) != answers_values(second):
        raise FacelimeError(
            f"one of {_model(first)} and {_model(second)} answers with values, and the other with probabilities; "
            "compare models of one kind."
        )
    has_same_dataset = first.inputs["dataset"]["digest"] == second.inputs["dataset"]["digest"]
    if not has_same_dataset or not _has_same_classes(first, second) or first.texts("id") != second.texts("id"):
        raise FacelimeError(
            f"{_model(first)} and {_model(second)} were evaluated on different pictures or classes; "
            "name one dataset for all with --dataset."
        )


def _has_same_classes(first: Artifact, second: Artifact) -> bool:
    if is_multilabel(first) and is_multilabel(second):
        # Findings are compared one by one, so that their order does not matter.
        return _findings(first) == _findings(second)
    return bool(first.facts["classes"] == second.facts["classes"]) and not is_multilabel(first) | is_multilabel(second)


def _findings(evaluation: Artifact) -> list[str]:
    """Return the findings that an evaluation is about, in an order that all evaluations share."""
    return sorted(evaluation.facts["findings"])


def _resampling(evaluation: Artifact) -> Any:
    """Return a function from the rounds of a bootstrap to the figures of each round."""
    labels, probabilities = evaluation.read("labels"), evaluation.read("probabilities")
    if not is_multilabel(evaluation):
        return lambda rounds: metrics.resampled(labels.astype(np.int64), probabilities, rounds)
    names = _findings(evaluation)
    columns = [evaluation.facts["classes"].index(name) for name in names]
    limits = [evaluation.facts["thresholds"][name]["threshold"] for name in names]
    return lambda rounds: findings.resampled(labels[:, columns], probabilities[:, columns], limits, rounds)


def _is_right(evaluation: Artifact) -> NDArray[np.bool_]:
    """Return whether the most probable class of each picture is its own."""
    right: NDArray[np.bool_] = evaluation.read("probabilities").argmax(axis=1) == evaluation.read("labels")
    return right


def _difference(first: float | None, second: float | None, changes: NDArray[np.float64] | None) -> dict[str, Any]:
    """Return the difference of a figure, and its interval from the differences of each round."""
    difference = None if first is None or second is None else second - first
    return {"difference": difference, "interval": None if changes is None else metrics.interval(changes)}


# Tables


def tables(evaluations: Sequence[Artifact], pairs: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return a comparison as tables: the models, their differences, and those of each finding.

    Parameters
    ----------
    evaluations : sequence of Artifact
    pairs : sequence of mapping
        From `pair`.
    """
    if answers_values(evaluations[0]):
        return value_comparison.tables(evaluations, pairs, SAYS_INTERVALS)
    names = compared(evaluations)
    titles = [WORDS.get(name, name.replace("_", " ")) for name in names]
    rows = [(_model(each), *(share_of(each.facts[name]) for name in names)) for each in evaluations]
    first = evaluations[0]
    of_models = Table(("model", *titles), rows, f"{first.n} pictures in {first.facts['groups']} groups")
    lines = []
    for each in pairs:
        differences = [_signed(each["differences"][name]) for name in names]
        tests = [_mcnemar(each["mcnemar"])] if "mcnemar" in each else []
        lines.append((_which(each), *differences, *tests))
    heads = ("difference", *titles, *([] if is_multilabel(first) else ["right alone; McNemar"]))
    found = [of_models, Table(heads, lines, SAYS_INTERVALS)]
    return [*found, *(_by_finding(each, first) for each in pairs if "findings" in each)]


def _which(pair: Mapping[str, Any]) -> str:
    return f"{pair['second']} − {pair['first']}"


def _by_finding(pair: Mapping[str, Any], evaluation: Artifact) -> Table:
    """Return the differences of each finding, in the order of the evaluation."""
    rows = []
    for name, counts in evaluation.facts["findings"].items():
        its = pair["findings"][name]
        rows.append((name, *(_signed(its[figure]) for figure in findings.EACH), note_of(counts)))
    return Table((_which(pair), "AUC", "average precision", "note"), rows, SAYS_INTERVALS)


def _signed(each: Mapping[str, Any]) -> str:
    difference, interval = each["difference"], each["interval"]
    if difference is None:
        return "none"
    if interval is None:
        return f"{difference:+.3f}"
    low, high = interval
    return f"{difference:+.3f} ({low:+.3f} to {high:+.3f})"


def _mcnemar(found: Mapping[str, Any]) -> str:
    return f"{found['only_second']} against {found['only_first']}, p {found['p']:.3g}"
