"""Measure a model on labelled pictures: figures with intervals, curves, calibration, subgroups and worst mistakes.

Intervals of the bootstrap draw whole groups (patients, lesions), since pictures of one patient are no independent
cases. A threshold for a wanted recall is picked on the validation split, and reported on the split that is evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.console import Answer
from facelime_cli.engine import Plan, Stage
from facelime_cli.models import runtimes
from facelime_cli.options import Choice, Execution, Input, Resolved
from facelime_cli.sources import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.engine import Context, Pending, Result
    from facelime_cli.store.arrays import Layout
    from facelime_cli.store.artifacts import Artifact

SPLITS = (*PARTS, "all")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `evaluate`."""

    model: Annotated[
        str,
        Argument(metavar="MODEL", help="Model, or - to read it from standard input.", show_default=False),
        Input(("models",)),
    ]
    dataset: Annotated[
        str | None,
        Option(
            metavar="DATASET",
            show_default=False,
            help="Choose a dataset with labels of the model's classes. [default: the one it was trained on]",
        ),
        Input(("datasets",)),
    ] = None
    split: Annotated[
        str,
        Choice(SPLITS),
        Option(help="Choose the split of the dataset; `all` is for a dataset that the model was not trained on."),
    ] = "test"
    target_recall: Annotated[
        list[str] | None,
        Option(
            metavar="CLASS=RECALL",
            show_default=False,
            help="Pick the threshold on the validation split that reaches this recall of a class, such as "
            "pneumonia=0.95; may be repeated.",
        ),
        Resolved(("target_recall", "fold")),
    ] = None
    bootstrap: Annotated[int, Option(min=100, max=100_000, help="Rounds of the bootstrap by group.")] = 1000
    mistakes: Annotated[int, Option(min=1, max=60, help="Show so many of the most confident mistakes.")] = 12
    seed: Annotated[int, Option(min=0, help="Seed of the bootstrap.")] = 0
    batch_size: Annotated[int, Option(min=1, max=4096, help="Pictures per call."), Execution()] = 32


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find the dataset, choose the pictures, and check that the classes are the same."""
    from facelime_cli.reporting import evaluation

    model = inputs["model"]
    dataset = inputs.get("dataset") or evaluation.own_dataset(model)
    runtimes.check_size(model, dataset, besides="")
    classes: list[str] = model.facts["classes"]
    fold = evaluation.fold_for(model, dataset)
    cases = evaluation.cases_of(dataset, params.split, PARTS, fold, classes)
    targets = evaluation.wanted_recalls(params.target_recall or [], classes)
    validation = evaluation.validation_cases(dataset, params.split, PARTS, fold, classes, targets)

    def prepare() -> Layout:
        return evaluation.layout_of(dataset, cases, classes, params.batch_size)

    def work(artifact: Artifact, units: Pending) -> None:
        answers = evaluation.Answers(model, dataset, artifact.execution["batch_size"])
        with context.console.progress("evaluate", units.pictures) as advance:
            for unit in units:
                unit.finish({"probabilities": answers.of(cases, unit.rows, advance)})

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        from facelime_cli.reporting.evaluation_report import Report

        probabilities = artifact.read("probabilities")
        thresholds = {}
        if validation is not None:
            answers = evaluation.Answers(model, dataset, artifact.execution["batch_size"])
            before = (validation, answers.of(validation))
            thresholds = evaluation.thresholds(targets, classes, before, (cases, probabilities), params.split)
        seen = evaluation.seen_in_training(model, dataset, cases)
        sentence = evaluation.seen_sentence(seen, artifact.n)
        if sentence:
            context.console.warn(sentence)
        is_right = probabilities.argmax(axis=1) == cases.labels
        facts = {
            **evaluation.figures(cases, probabilities, classes, params.bootstrap, params.seed),
            "seen_in_training": {**seen, "sentence": sentence},
            "thresholds": thresholds,
            "subgroups": evaluation.subgroups(dataset, cases, is_right),
            "mistakes": evaluation.mistakes(cases, probabilities, artifact.texts("id"), classes, params.mistakes),
            "leakage": dataset.facts.get("leakage", {}).get("sentences", []),
        }
        return facts, Report(artifact, model, dataset, cases, params.split).write(facts)

    return Plan(
        params=params,
        resolved={"fold": fold, "target_recall": targets},
        name=f"{model.name}-{params.split}",
        prepare=prepare,
        work=work,
        inputs={"model": model, "dataset": dataset},
        finish=finish,
    )


def answer(result: Result) -> Answer:
    """Answer with the reference; under --json with every figure, else with tables beside it."""
    from facelime_cli.reporting.evaluation_report import summary

    artifact = result.artifact
    facts = {name: value for name, value in artifact.facts.items() if name != "leakage"}
    value = {**result.json(), **facts, "page": str(artifact.path.absolute() / "index.html")}
    del value["facts"]  # they stand beside the rest
    seen = facts["seen_in_training"]["sentence"]
    said = [f"page: {artifact.path / 'index.html'}"]
    # A run that evaluates has warned already.
    if seen and result.reused:
        said.insert(0, f"warning: {seen}")
    return Answer(value, [artifact.id], notes=summary(artifact.facts), said=said)


STAGE = Stage(name="evaluate", writes="evaluations", version=1, params=Params, plan=plan, help=__doc__, answer=answer)
