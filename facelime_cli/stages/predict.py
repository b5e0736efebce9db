"""Ask the model about every perturbed picture.

Pictures are composed on the device, inside one compiled call with the network. Evaluations are kept as they are made:
Ctrl-C, a time limit or a crash costs at most half a minute, and the same command resumes. Evaluations of the same model
and the same composed pictures that the store has are reused, so more samples cost only what is new.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.engine import Plan, Stage, looked_up
from facelime_cli.errors import IncompleteError
from facelime_cli.options import Input
from facelime_cli.predicting import asking
from facelime_cli.predicting.outputs import TAKING, OfOutput, needed_output
from facelime_cli.predicting.reuse import VERSIONS
from facelime_cli.predicting.run import Perturbed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.console import Answer
    from facelime_cli.engine import Context, Needed, Pending, Result
    from facelime_cli.predicting.run import Run
    from facelime_cli.store.arrays import Layout
    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True, kw_only=True)
class Params(asking.Asking, OfOutput):
    """Parameters of `predict`."""

    masks: Annotated[
        str,
        Argument(metavar="MASKS", help="Masks, or - to read them from standard input.", show_default=False),
        Input(("masks",)),
    ]
    model: Annotated[
        str,
        Option(metavar="MODEL", help="Run this model, from `finetune` or `import-model`.", show_default=False),
        Input(("models",)),
    ]


def needs(params: Params, inputs: Mapping[str, Artifact], _context: Context) -> Mapping[str, Needed]:
    """Name the model of one output, where another than the model's first is asked."""
    return needed_output(params.output, inputs["model"])


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Check that model, runtime and pictures fit, without loading the model.

    Parameters
    ----------
    params : Params
    inputs : mapping
        The masks and the model.
    context : Context

    Returns
    -------
    Plan
    """
    wanted = asking.wanted_batch(params.batch_size)
    run = _run(params, inputs, context)

    def prepare() -> Layout:
        # The batch size is recorded when the artifact is begun: every process and shard must use the same.
        return _layout(inputs["masks"], run, {"batch_size": run.batch_size(wanted)})

    def work(artifact: Artifact, units: Pending) -> None:
        from facelime_cli.predicting.fastest import advise
        from facelime_cli.predicting.predictor import Predictor

        begun = time.monotonic()
        Predictor(artifact, run, wanted).run(units)
        advise(run, params.runtime, time.monotonic() - begun)

    return Plan(
        params=params,
        resolved=asking.resolved(run),
        name=f"{inputs['masks'].name}-{run.model.name}",
        prepare=prepare,
        work=work,
        inputs=inputs,
        finish=_finished,
    )


def _finished(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
    """Return what the manifest says of all units."""
    from facelime_cli.reporting import unlike
    from facelime_cli.store import familiarity

    return {**asking.facts(artifact), **unlike.facts_of(familiarity.distances_of(artifact))}, []


def answer(result: Result) -> Answer:
    """Answer with the reference, and say which pictures are unlike what the model learned from."""
    from facelime_cli.reporting import unlike

    return unlike.answer(result)


def _run(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Run:
    return asking.run_of(params, Perturbed(inputs["masks"]), inputs["model"], context)


def _layout(masks: Artifact, run: Run, execution: Mapping[str, Any]) -> Layout:
    """Return a probability for every picture, sample and class."""
    classes = run.model.facts["classes"]
    n, samples = masks.shape("masks")[:2]
    dimensions = ("picture", "sample", "class")
    from facelime_cli.store.arrays import ArraySpec, Layout
    from facelime_cli.store.explanations import answer_facts, measure_of

    measure = measure_of(run.model)
    probabilities = ArraySpec("float32", (n, samples, len(classes)), dimensions, float("nan"), measure)
    constants, facts = masks.carried(), answer_facts(run.model)
    return Layout(n, {"probabilities": probabilities}, constants, facts, execution=execution)


def forecast_of(params: Params, context: Context) -> Answer:
    """Say how long everything would take; the store stays as it is.

    Parameters
    ----------
    params : Params
    context : Context

    Returns
    -------
    Answer
    """
    from facelime_cli.predicting import forecast

    inputs = looked_up(STAGE, params, context)
    if inputs is None:
        raise IncompleteError(
            f"--dry-run makes nothing, and --output {params.output} is not taken from {params.model} yet; "
            f"run `facelime {TAKING} {params.model} --output {params.output}` first."
        )
    # What is tried and converted for it is thrown away when it has been said.
    with context.store.unchanged():
        run = _run(params, inputs, context)
        layout = _layout(inputs["masks"], run, {})
        return forecast.of_stage(STAGE, params, run, layout, context)


STAGE = Stage(
    name="predict",
    writes="predictions",
    version=VERSIONS["predictions"],
    params=Params,
    plan=plan,
    help=__doc__,
    sharded=True,
    needs=needs,
    forecast=forecast_of,
    answer=answer,
)
