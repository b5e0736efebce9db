"""Ask the model about every perturbed picture.

Pictures are composed on the device, inside one compiled call with the network. Evaluations are kept as they are made:
Ctrl-C, a time limit or a crash costs at most half a minute, and the same command resumes. Evaluations of the same model
and the same composed pictures that the store has are reused, so more samples cost only what is new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import stopping
from facelime_cli.choices import words_of
from facelime_cli.engine import Plan, Stage, find, resolve_inputs
from facelime_cli.errors import CommandLineError
from facelime_cli.models import runtimes
from facelime_cli.models.runtimes import How
from facelime_cli.options import Choice, Execution, Input, Resolved
from facelime_cli.predicting.run import ACCELERATOR_BATCH, AUTO, DEFAULT, PROCESSOR_BATCH, Run
from facelime_cli.store.arrays import ArraySpec, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.console import Answer
    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Params:
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
    runtime: Annotated[
        str | None,
        Choice(tuple(runtimes.RUNTIMES)),
        Option(
            show_default=False,
            help=f"Choose what computes the answers. {words_of(runtimes.RUNTIMES)}. openvino and onnx are faster on "
            "many processors, and are extras to install. [default: keras; onnx for ONNX files, python for functions]",
        ),
        Resolved(),
    ] = None
    precision: Annotated[
        str,
        Choice(runtimes.PRECISIONS),
        Option(
            help="Compute in this precision. bfloat16 is about twice as fast where the hardware has it, tf32 on NVIDIA "
            "cards. Both are compared with float32 on pictures of this run first."
        ),
    ] = runtimes.FLOAT32
    tolerance: Annotated[
        float,
        Option(
            min=0,
            max=1,
            help="Use another runtime or precision only when no probability differs by more from float32 Keras.",
        ),
        Execution(),
    ] = TOLERANCE
    resize: Annotated[
        bool,
        Option(
            "--resize",
            help="Put a resizing layer in front of a model that reads another size, so that several models can answer "
            "the same pictures.",
        ),
        Resolved(),
    ] = False
    batch_size: Annotated[
        str | None,
        Option(
            metavar="N|auto",
            show_default=False,
            help="Put so many pictures into one call of the network. Smaller needs less memory. auto tries a few "
            f"sizes once, and remembers. [default: {PROCESSOR_BATCH}; of Keras on a GPU {ACCELERATOR_BATCH}]",
        ),
        Execution(),
    ] = None
    time_budget: Annotated[
        str | None,
        Option(
            metavar="TIME",
            show_default=False,
            help="Stop after this time, such as 90s, 30m or 2h, and exit 75. [default: none]",
        ),
        Execution(),
    ] = None


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
    wanted = _wanted_batch(params.batch_size)
    run = _run(params, inputs, context)

    def prepare() -> Layout:
        # The batch size is recorded when the artifact is begun: every process and shard must use the same.
        return _layout(run, {"batch_size": run.batch_size(wanted)})

    def work(artifact: Artifact, units: Pending) -> None:
        from facelime_cli.predicting.predictor import Predictor

        Predictor(artifact, run, wanted).run(units)

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        units = artifact.facts_of_units()
        facts: dict[str, Any] = {}
        for name in ("evaluations", "taken_over"):
            facts[name] = sum(int(unit[name]) for unit in units)
        # None stands for the reference itself, which differs from nothing.
        differences = [unit["difference"] for unit in units if unit["difference"] is not None]
        if differences:
            facts["difference"] = max(differences)
        return facts, []

    return Plan(
        params=params,
        resolved={"runtime": run.how.runtime, "resize": run.how.resize_from is not None},
        name=f"{run.masks.name}-{run.model.name}",
        prepare=prepare,
        work=work,
        inputs=inputs,
        finish=finish,
    )


def _run(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Run:
    """Return what an invocation works with; the model is not loaded yet."""
    from facelime_cli.predicting.device import Device

    masks, model = inputs["masks"], inputs["model"]
    dataset = masks.input("datasets")
    runtime = runtimes.settle(model, params.runtime, params.precision)
    if not params.resize:
        runtimes.check_size(model, dataset)
    pictures = int(dataset.facts["size"])
    # A layer that changes nothing would change the fingerprint.
    resize_from = pictures if pictures != int(model.facts["size"]) else None
    how = How(runtime, params.precision, resize_from)
    return Run(masks, model, how, params.tolerance, Device(stopping.deadline(params.time_budget)), context)


def _layout(run: Run, execution: Mapping[str, Any]) -> Layout:
    """Return a probability for every picture, sample and class."""
    classes = run.model.facts["classes"]
    n, samples = run.masks.shape("masks")[:2]
    dimensions = ("picture", "sample", "class")
    probabilities = ArraySpec("float32", (n, samples, len(classes)), dimensions, float("nan"), "probability")
    constants, facts = run.masks.carried(), {"classes": classes}
    return Layout(n, {"probabilities": probabilities}, constants, facts, execution=execution)


def _wanted_batch(text: str | None) -> int | str:
    """Return a batch size as a number, or one of the words for what is found out."""
    if text is None or text == AUTO:
        return text or DEFAULT
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise CommandLineError(f"--batch-size {text!r} should be a whole number from 1 on, or {AUTO}.")
    return int(text)


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

    inputs = resolve_inputs(params, context.store)
    found = find(STAGE, params, context)
    meant, artifact = found.plan, found.artifact
    assert meant is not None  # predict needs nothing that its plan could miss
    run = _run(params, inputs, context)
    made = (STAGE.name, STAGE.version, dict(meant.parameters), run.model.content)
    # A forecast loads the model and may convert it, or measure a batch size: none of this may stay.
    with context.store.unchanged():
        return forecast.forecast(run, _layout(run, {}), _wanted_batch(params.batch_size), made, artifact)


STAGE = Stage(
    name="predict",
    writes="predictions",
    version=2,
    params=Params,
    plan=plan,
    help=__doc__,
    sharded=True,
    forecast=forecast_of,
)
