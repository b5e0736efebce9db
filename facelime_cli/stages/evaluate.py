"""Measure a model on labelled pictures: figures with intervals, curves, calibration, subgroups and worst mistakes.

Intervals of the bootstrap draw whole groups (patients, lesions), since pictures of one patient are no independent
cases. A threshold for a wanted recall is picked on the validation split, and reported on the split that is evaluated.
A model that answers with values is compared with a table column: mean absolute error, R², bias and limits of agreement.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.answering import runtimes, several
from facelime_cli.choices import BEST_F1, HALF
from facelime_cli.console import Answer
from facelime_cli.engine import Plan, Stage
from facelime_cli.names import listing
from facelime_cli.options import Choice, Execution, Input, Resolved
from facelime_cli.predicting.outputs import OfOutput, needed_output
from facelime_cli.sources import SPLITS
from facelime_cli.store.pictures import changed_otherwise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.engine import Context, Needed, Pending, Result
    from facelime_cli.reporting.evaluation import Answered, Cases, Scoring
    from facelime_cli.store.arrays import Layout
    from facelime_cli.store.artifacts import Artifact

OUT_OF_FOLD = "each picture was answered by the one of {} networks that was not trained on it and tests it."
ALL_SPLITS = (*SPLITS, "all")


@dataclass(frozen=True, kw_only=True)
class Params(OfOutput):
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
        Choice(ALL_SPLITS),
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
    thresholds: Annotated[
        str,
        Choice((HALF, BEST_F1)),
        Option(
            help="Call a finding from a probability of 0.5 on (half), or from the threshold with the highest F1 on the "
            "validation split on (f1). It is for models with a probability for each finding: that of a rare finding "
            "seldom reaches 0.5.",
        ),
        Resolved(),
    ] = HALF
    truth: Annotated[
        list[str] | None,
        Option(
            metavar="COLUMN|VALUE=COLUMN",
            show_default=False,
            help="Compare a model that answers with values with this table column of the dataset; with several values "
            "such as age=age_months, may be repeated. [default: the columns of the values' own names]",
        ),
        Resolved(),
    ] = None
    compare: Annotated[
        str | None,
        Option(
            metavar="EVALUATION",
            show_default=False,
            help="Put the figures beside those of this evaluation of the same model on other pictures: differences "
            "with intervals, calibration, and what the thresholds that were chosen there do here. It shows what a "
            "network is worth on another source, such as another hospital.",
        ),
        Input(("evaluations",)),
        Resolved(("compared",)),
    ] = None
    bootstrap: Annotated[int, Option(min=100, max=100_000, help="Rounds of the bootstrap by group.")] = 1000
    mistakes: Annotated[int, Option(min=1, max=60, help="Show so many of the most confident mistakes.")] = 12
    seed: Annotated[int, Option(min=0, help="Seed of the bootstrap.")] = 0
    batch_size: Annotated[int, Option(min=1, max=4096, help="Pictures per call."), Execution()] = 32


def needs(params: Params, inputs: Mapping[str, Artifact], _context: Context) -> Mapping[str, Needed]:
    """Name the model of one output, where another than the model's first is measured."""
    return needed_output(params.output, inputs["model"])


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find the dataset, choose the pictures, and check that the classes are the same, or find the known values."""
    from facelime_cli.reporting import evaluation, source_comparison, source_report
    from facelime_cli.reporting.scoring import scoring_of

    model = inputs["model"]
    dataset = inputs.get("dataset") or evaluation.own_dataset(model)
    runtimes.check_size(model, dataset, besides="")
    scoring = scoring_of(model, dataset, params.truth or [])
    classes: list[str] = model.facts["classes"]
    fold = evaluation.fold_for(model, dataset)
    cases = evaluation.cases_of(scoring, dataset, params.split, SPLITS, fold)
    there = inputs.get("compare")
    source_comparison.check(there, model, dataset, scoring, cases)
    targets = evaluation.wanted_recalls(params.target_recall or [], classes)
    picking = evaluation.Picking(params.thresholds, targets)
    scoring.check(picking)
    evaluation.check_held_out(model, dataset, picking)
    validation = evaluation.validation_cases(scoring, dataset, params.split, SPLITS, fold, picking)

    # The validation split is asked at the end, of the model that is loaded by then.
    answers = cache(partial(evaluation.asking, model, dataset, cases))

    def prepare() -> Layout:
        return evaluation.layout_of(dataset, cases, model, params.batch_size)

    def work(artifact: Artifact, units: Pending) -> None:
        asked = answers(artifact.execution["batch_size"])
        with context.console.progress("evaluate", units.pictures) as advance:
            for unit in units:
                answered = asked.of_unit(cases, unit, advance)
                unit.finish({"probabilities": answered}, facts=asked.unit_facts(cases, unit.rows))

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        from facelime_cli.reporting import calibrated, unlike
        from facelime_cli.reporting.scoring import report_of
        from facelime_cli.store import familiarity

        here, before = evaluation.Answered(cases, artifact.read("probabilities")), None
        if validation is not None:
            asked = answers(artifact.execution["batch_size"])
            before = evaluation.Answered(validation, asked.of(validation))
        thresholds = scoring.thresholds(picking, before, here, params.split)
        facts = _facts(params, scoring, dataset, here, thresholds, _seen(model, dataset, cases, context))
        facts |= unlike.facts_of(familiarity.distances_of(artifact))
        facts |= calibrated.figures(model, here)
        facts |= source_comparison.compare(there, artifact, here, scoring, params.bootstrap, params.seed)
        beside = source_report.beside(there, here, scoring, facts)
        report = report_of(artifact, model, dataset, here, params.split)
        return facts, report.write(facts, beside)

    return Plan(
        params=params,
        resolved=_resolved(params, fold, targets, scoring, there),
        name=f"{model.name}-{dataset.name}-{params.split}",
        prepare=prepare,
        work=work,
        inputs={**inputs, "model": model, "dataset": dataset},
        finish=finish,
    )


def _resolved(
    params: Params, fold: int | str | None, targets: Any, scoring: Scoring, there: Artifact | None
) -> dict[str, Any]:
    """Return what the evaluation is known by beside its inputs."""
    from facelime_cli.reporting.values_scored import Values

    found: dict[str, Any] = {"fold": fold, "target_recall": targets}
    # It is there only where it says something, so that other evaluations keep their fingerprints.
    if params.thresholds != HALF:
        found["thresholds"] = params.thresholds
    if isinstance(scoring, Values):
        found["truth"] = [f"{name}={column}" for name, column in scoring.columns.items()]
    # An evaluation's content is what the model said: the thresholds there are among what made it.
    if there is not None:
        found["compared"] = there.fingerprint
    return found


def _seen(model: Artifact, dataset: Artifact, cases: Cases, context: Context) -> dict[str, Any]:
    """Return which pictures were trained on; warn of these, and of pictures that were prepared otherwise."""
    from facelime_cli.reporting import evaluation

    otherwise = changed_otherwise(model, dataset)
    if otherwise:
        context.console.warn(otherwise)
    seen = evaluation.seen_in_training(model, dataset, cases)
    sentence = evaluation.seen_sentence(seen, len(cases.rows))
    if sentence:
        context.console.warn(sentence)
    return {**seen, "sentence": sentence}


def _facts(
    params: Params,
    scoring: Scoring,
    dataset: Artifact,
    here: Answered,
    thresholds: dict[str, Any],
    seen: dict[str, Any],
) -> dict[str, Any]:
    """Return what the answers say of the model."""
    every_id = dataset.texts("id")
    ids = [every_id[row] for row in here.cases.rows]
    folds = {} if here.cases.members is None else {"out_of_fold": dataset.parameters["folds"]}
    return {
        **folds,
        **scoring.figures(here, thresholds, params.bootstrap, params.seed),
        "seen_in_training": seen,
        "thresholds": thresholds,
        "subgroups": scoring.subgroups(dataset, here, thresholds),
        "mistakes": scoring.mistakes(here, ids, thresholds, params.mistakes),
        "leakage": dataset.facts.get("leakage", {}).get("sentences", []),
    }


def answer(result: Result) -> Answer:
    """Answer with the reference; under --json with every figure, else with tables beside it."""
    from facelime_cli.reporting import unlike
    from facelime_cli.reporting.scoring import in_words, summary_of

    artifact = result.artifact
    facts = {name: value for name, value in artifact.facts.items() if name != "leakage"}
    value = {**result.json(), **facts, **unlike.in_json(artifact), "page": str(artifact.path.absolute() / "index.html")}
    del value["facts"]  # they stand beside the rest
    seen = facts["seen_in_training"]["sentence"]
    out_of_fold = OUT_OF_FOLD.format(facts["out_of_fold"]) if "out_of_fold" in facts else ""
    said = [*filter(None, [out_of_fold]), *in_words(facts), f"page: {artifact.path / 'index.html'}"]
    further = several.others(artifact.input("models"))
    if further:
        said.insert(0, f"the model has other outputs: {listing(further)}; measure each with --output NAME.")
    # A run that evaluates has warned already.
    if seen and result.reused:
        said.insert(0, f"warning: {seen}")
    said = [*unlike.said_of(facts), *said]
    return Answer(value, [artifact.id], notes=summary_of(artifact.facts), said=said)


STAGE = Stage(
    name="evaluate",
    writes="evaluations",
    version=1,
    params=Params,
    plan=plan,
    help=__doc__,
    needs=needs,
    answer=answer,
)
