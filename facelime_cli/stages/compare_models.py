"""Compare models on the same pictures: differences with intervals, and the pictures that only one of two gets right.

Each model is evaluated first, through the same artifacts as `evaluate`. The bootstrap is paired and draws whole groups
(patients, lesions). Models with a probability for each finding are compared finding by finding, models that answer with
values by their errors.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context, execute
from facelime_cli.errors import CommandLineError
from facelime_cli.options import Choice
from facelime_cli.stages import evaluate

if TYPE_CHECKING:
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
    truth: Annotated[
        list[str] | None,
        Option(
            metavar="COLUMN|VALUE=COLUMN",
            show_default=False,
            help="Compare models that answer with values with this table column of the dataset; see `evaluate`.",
        ),
    ] = None
    split: Annotated[str, Choice(evaluate.ALL_SPLITS), Option(help="Choose the split of the dataset.")] = "test"
    bootstrap: Annotated[int, Option(min=100, max=100_000, help="Rounds of the bootstrap by group.")] = 1000
    seed: Annotated[int, Option(min=0, help="Seed of the bootstrap.")] = 0
    batch_size: Annotated[int, Option(min=1, max=4096, help="Pictures per call.")] = 32


def run(params: Params, context: Context) -> Answer:
    """Evaluate every model, then compare each with each."""
    from facelime_cli.reporting import model_comparison

    if len(params.models) < FEWEST_MODELS:
        raise CommandLineError(f"there is nothing to compare {params.models[0]} with; name two models or more.")
    for model in params.models:
        context.store.resolve(model, ("models",))  # a wrong name is told before anything is evaluated
    evaluations = [_evaluation(model, params, context) for model in params.models]
    pairs = [
        model_comparison.pair(first, second, params.bootstrap, params.seed)
        for first, second in itertools.combinations(evaluations, 2)
    ]
    value = {
        "split": params.split,
        "n": evaluations[0].n,
        "groups": evaluations[0].facts["groups"],
        "models": [model_comparison.figures(each) for each in evaluations],
        "pairs": pairs,
    }
    return Answer(value, tables=model_comparison.tables(evaluations, pairs))


def _evaluation(model: str, params: Params, context: Context) -> Artifact:
    chosen = evaluate.Params(
        model=model,
        dataset=params.dataset,
        truth=params.truth,
        split=params.split,
        bootstrap=params.bootstrap,
        seed=params.seed,
        batch_size=params.batch_size,
    )
    return execute(evaluate.STAGE, chosen, context).artifact


COMMAND = Command("compare-models", Params, run, __doc__ or "")
