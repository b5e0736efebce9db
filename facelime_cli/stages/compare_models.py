"""Compare models on the same pictures: differences with intervals, and the pictures that only one of two gets right.

Each model is evaluated first, through the same artifacts as `evaluate`. The bootstrap is paired and draws whole groups
(patients, lesions).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.console import Answer, Table
from facelime_cli.engine import Command, Context, execute
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.options import Choice
from facelime_cli.stages import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facelime_cli.store.artifacts import Artifact

FEWEST_MODELS = 2


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `compare-models`."""

    models: Annotated[list[str], Argument(metavar="MODEL…", help="Two models or more.", show_default=False)]
    dataset: Annotated[
        str | None,
        Option(
            metavar="DATASET",
            show_default=False,
            help="Choose a dataset with labels of the models' classes. [default: the one that each was trained on]",
        ),
    ] = None
    split: Annotated[str, Choice(evaluate.ALL_SPLITS), Option(help="Choose the split of the dataset.")] = "test"
    bootstrap: Annotated[int, Option(min=100, max=100_000, help="Rounds of the bootstrap by group.")] = 1000
    seed: Annotated[int, Option(min=0, help="Seed of the bootstrap.")] = 0
    batch_size: Annotated[int, Option(min=1, max=4096, help="Pictures per call.")] = 32


def run(params: Params, context: Context) -> Answer:
    """Evaluate every model, then compare each with each."""
    if len(params.models) < FEWEST_MODELS:
        raise CommandLineError(f"there is nothing to compare {params.models[0]} with; name two models or more.")
    for model in params.models:
        context.store.resolve(model, ("models",))  # a wrong name is told before anything is evaluated
    evaluations = [_evaluation(model, params, context) for model in params.models]
    pairs = [_pair(first, second, params) for first, second in itertools.combinations(evaluations, 2)]
    models = [_figures(each) for each in evaluations]
    value = {
        "split": params.split,
        "n": evaluations[0].n,
        "groups": evaluations[0].facts["groups"],
        "models": models,
        "pairs": pairs,
    }
    return Answer(value, tables=[_table_of(models, evaluations[0]), _table_of_pairs(pairs)])


def _evaluation(model: str, params: Params, context: Context) -> Artifact:
    chosen = evaluate.Params(
        model=model,
        dataset=params.dataset,
        split=params.split,
        bootstrap=params.bootstrap,
        seed=params.seed,
        batch_size=params.batch_size,
    )
    return execute(evaluate.STAGE, chosen, context).artifact


def _figures(evaluation: Artifact) -> dict[str, Any]:
    from facelime_cli.reporting.classes_scored import RESAMPLED

    named = {name: evaluation.facts[name] for name in RESAMPLED}
    return {"model": _model(evaluation), "evaluation": evaluation.id, **named}


def _model(evaluation: Artifact) -> str:
    return str(evaluation.inputs["model"]["id"])


def _pair(first: Artifact, second: Artifact, params: Params) -> dict[str, Any]:
    """Return how the second model differs from the first."""
    from facelime_cli.core import metrics

    _check_same_pictures(first, second)
    labels = first.read("labels").astype(int)
    one_right, other_right = (each.read("probabilities").argmax(axis=1) == labels for each in (first, second))
    return {
        "first": _model(first),
        "second": _model(second),
        "differences": _differences(first, second, params),
        "mcnemar": metrics.mcnemar(one_right, other_right),
    }


def _check_same_pictures(first: Artifact, second: Artifact) -> None:
    has_same_dataset = first.inputs["dataset"]["digest"] == second.inputs["dataset"]["digest"]
    has_same_classes = first.facts["classes"] == second.facts["classes"]
    if not has_same_dataset or not has_same_classes or first.texts("id") != second.texts("id"):
        raise FacelimeError(
            f"{_model(first)} and {_model(second)} were evaluated on different pictures or classes; "
            "name one dataset for all with --dataset."
        )


def _differences(first: Artifact, second: Artifact, params: Params) -> dict[str, Any]:
    """Return the difference of each figure, with its interval from the same rounds of the bootstrap for both."""
    from facelime_cli.core import metrics
    from facelime_cli.reporting.classes_scored import RESAMPLED
    from facelime_cli.reporting.evaluation import FEWEST_GROUPS

    found: dict[str, Any] = {}
    for name in RESAMPLED:
        difference = _difference(first.facts[name], second.facts[name])
        found[name] = {"difference": difference, "interval": None}
    groups = first.texts("group")
    if len(set(groups)) < FEWEST_GROUPS:
        return found
    labels = first.read("labels").astype(int)
    rounds = metrics.rounds_by_group(groups, params.bootstrap, params.seed)
    before = metrics.resampled(labels, first.read("probabilities"), rounds)
    after = metrics.resampled(labels, second.read("probabilities"), rounds)
    for name, each in found.items():
        each["interval"] = metrics.interval(after[name] - before[name])
    return found


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else second - first


# Tables


def _table_of(models: Sequence[Mapping[str, Any]], evaluation: Artifact) -> Table:
    from facelime_cli.reporting.classes_scored import RESAMPLED

    names = [name.replace("_", " ") for name in RESAMPLED]
    rows = []
    for each in models:
        values = ["none" if each[name] is None else f"{each[name]:.3f}" for name in RESAMPLED]
        rows.append((each["model"], *values))
    title = f"{evaluation.n} pictures in {evaluation.facts['groups']} groups"
    return Table(("model", *names), rows, title)


def _table_of_pairs(pairs: Sequence[Mapping[str, Any]]) -> Table:
    from facelime_cli.reporting.classes_scored import RESAMPLED

    names = [name.replace("_", " ") for name in RESAMPLED]
    rows = []
    for each in pairs:
        differences = [_signed(each["differences"][name]) for name in RESAMPLED]
        rows.append((f"{each['second']} − {each['first']}", *differences, _mcnemar(each["mcnemar"])))
    heads = ("difference", *names, "right alone; McNemar")
    return Table(heads, rows, "with 95 % intervals of the paired bootstrap by group")


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


COMMAND = Command("compare-models", Params, run, __doc__ or "")
