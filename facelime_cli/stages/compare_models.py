"""Compare models on the same pictures: differences with intervals, and the pictures that only one of two gets right.

Each model is evaluated first, through the same artifacts as `evaluate`. The bootstrap is paired and draws whole groups (patients, lesions).
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
    from collections.abc import Mapping

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
            help="Dataset with labels of the models' classes. [default: the one that each was trained on]",
        ),
    ] = None
    split: Annotated[str, Choice(evaluate.SPLITS), Option(help="Part of the dataset.")] = "test"
    bootstrap: Annotated[int, Option(min=100, max=100_000, help="Rounds of the bootstrap by group.")] = 1000
    seed: Annotated[int, Option(min=0, help="Seed of the bootstrap.")] = 0
    batch_size: Annotated[int, Option(min=1, help="Pictures per call.")] = 32


def run(params: Params, context: Context) -> Answer:
    """Evaluate every model, then compare each with each."""
    if len(params.models) < FEWEST_MODELS:
        raise CommandLineError(f"there is nothing to compare {params.models[0]} with; name two models or more.")
    for model in params.models:
        context.store.resolve(model, ("models",))  # a wrong name is told before anything is evaluated
    evaluations = [_evaluation(model, params, context) for model in params.models]
    pairs = [_pair(first, second, params) for first, second in itertools.combinations(evaluations, 2)]
    models = [
        {
            "model": each.inputs["model"]["id"],
            "evaluation": each.id,
            **{name: each.facts[name] for name in evaluate.RESAMPLED},
        }
        for each in evaluations
    ]
    return Answer(
        {
            "split": params.split,
            "n": evaluations[0].n,
            "groups": evaluations[0].facts["groups"],
            "models": models,
            "pairs": pairs,
        },
        tables=_tables(models, pairs, evaluations[0]),
    )


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


def _pair(first: Artifact, second: Artifact, params: Params) -> dict[str, Any]:
    """Return how the second model differs from the first."""
    from facelime_cli.core import metrics

    if (
        first.inputs["dataset"]["digest"] != second.inputs["dataset"]["digest"]
        or first.texts("id") != second.texts("id")
        or first.facts["classes"] != second.facts["classes"]
    ):
        raise FacelimeError(
            f"{first.inputs['model']['id']} and {second.inputs['model']['id']} were evaluated on different pictures or classes; name one dataset for all with --dataset."
        )
    labels, groups = first.read("labels").astype(int), first.texts("group")
    one, other = first.read("probabilities"), second.read("probabilities")
    differences: dict[str, Any] = {
        name: {"difference": _difference(first.facts[name], second.facts[name]), "interval": None}
        for name in evaluate.RESAMPLED
    }
    if len(set(groups)) >= evaluate.FEWEST_GROUPS:
        rounds = metrics.rounds_by_group(groups, params.bootstrap, params.seed)
        before, after = metrics.resampled(labels, one, rounds), metrics.resampled(labels, other, rounds)
        for name, each in differences.items():
            each["interval"] = metrics.interval(after[name] - before[name])
    right = [each.argmax(axis=1) == labels for each in (one, other)]
    return {
        "first": first.inputs["model"]["id"],
        "second": second.inputs["model"]["id"],
        "differences": differences,
        "mcnemar": metrics.mcnemar(*right),
    }


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else second - first


def _tables(models: list[dict[str, Any]], pairs: list[dict[str, Any]], evaluation: Artifact) -> list[Table]:
    title = f"{evaluation.n} pictures in {evaluation.facts['groups']} groups"
    names = [name.replace("_", " ") for name in evaluate.RESAMPLED]
    overall = [
        (each["model"], *("none" if each[name] is None else f"{each[name]:.3f}" for name in evaluate.RESAMPLED))
        for each in models
    ]
    rows = [
        (
            f"{each['second']} − {each['first']}",
            *(_signed(each["differences"][name]) for name in evaluate.RESAMPLED),
            _mcnemar(each["mcnemar"]),
        )
        for each in pairs
    ]
    return [
        Table(("model", *names), overall, title),
        Table(
            ("difference", *names, "right alone; McNemar"), rows, "with 95 % intervals of the paired bootstrap by group"
        ),
    ]


def _signed(each: Mapping[str, Any]) -> str:
    if each["difference"] is None:
        return "none"
    return f"{each['difference']:+.3f}" + (
        "" if each["interval"] is None else f" ({each['interval'][0]:+.3f} to {each['interval'][1]:+.3f})"
    )


def _mcnemar(found: Mapping[str, Any]) -> str:
    return f"{found['only_second']} against {found['only_first']}, p {found['p']:.3g}"


COMMAND = Command("compare-models", Params, run, __doc__ or "")
