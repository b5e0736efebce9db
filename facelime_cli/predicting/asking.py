"""What every stage that asks the model has in common: its options, its run, and what it notes at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli import stopping
from facelime_cli.answering import runtimes
from facelime_cli.answering.runtimes import MOST_IN_BATCH, How
from facelime_cli.choices import words_of
from facelime_cli.core import shapes
from facelime_cli.errors import CommandLineError
from facelime_cli.names import whole_number
from facelime_cli.options import Choice, Execution, Resolved
from facelime_cli.predicting.run import ACCELERATOR_BATCH, AUTO, DEFAULT, PROCESSOR_BATCH, Run

if TYPE_CHECKING:
    from facelime_cli.engine import Context
    from facelime_cli.predicting.run import Source
    from facelime_cli.store.artifacts import Artifact

TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Options of every stage that asks the model."""

    runtime: Annotated[
        str | None,
        Choice((*runtimes.RUNTIMES, AUTO)),
        Option(
            show_default=False,
            help=f"Choose what computes the answers. {words_of(runtimes.RUNTIMES)}. openvino and onnx are faster on "
            "many processors, and are extras to install. auto tries what is installed, once per model and machine, and "
            "takes the fastest that agrees with the reference. [default: keras; onnx for ONNX files, torch for "
            "PyTorch, python for functions]",
        ),
        Resolved(),
    ] = None
    precision: Annotated[
        str | None,
        Choice(runtimes.PRECISIONS),
        Option(
            show_default=False,
            help="Compute in this precision. bfloat16 is about twice as fast where the hardware has it, tf32 on NVIDIA "
            f"cards. Both are compared with float32 first, once per model and machine. [default: {runtimes.FLOAT32}]",
        ),
        Resolved(),
    ] = None
    tolerance: Annotated[
        float,
        Option(
            min=0,
            max=1,
            help="Use another runtime or precision only when no probability differs by more from float32 Keras, and no "
            "value by a larger share of the values' range.",
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
            f"sizes once, and remembers. [default: {PROCESSOR_BATCH}; of Keras and PyTorch on a GPU "
            f"{ACCELERATOR_BATCH}]",
        ),
        Execution(),
    ] = None
    time_budget: Annotated[
        str | None,
        Option(
            metavar="TIME",
            show_default=False,
            help="Stop after this time, such as 90s, 30m or 2h, and exit 75. In a Slurm job, stop a minute before the "
            "job's end at the latest. [default: none]",
        ),
        Execution(),
    ] = None


def as_before(params: Asking, predictions: Artifact | None) -> Any:
    """Return options with those of some predictions in place of what was not given.

    Parameters
    ----------
    params : Asking
    predictions : Artifact or None
        What is to be asked again; None changes nothing.

    Returns
    -------
    Asking
    """
    if predictions is None:
        return params
    known = predictions.parameters
    # Predictions of version 1 knew no choice of these: they were made with what is the default today.
    return replace(
        params,
        runtime=params.runtime or known.get("runtime"),
        precision=params.precision or known.get("precision"),
        resize=params.resize or known.get("resize", False),
        # With another batch size the bits of stored answers would be others, and none could be reused.
        batch_size=params.batch_size or str(predictions.execution["batch_size"]),
    )


def run_of(params: Asking, source: Source, model: Artifact, context: Context) -> Run:
    """Return what an invocation works with; the model is not loaded yet.

    Parameters
    ----------
    params : Asking
    source : Source
    model : Artifact
    context : Context

    Returns
    -------
    Run

    Raises
    ------
    FacelimeError
        When the model reads pictures of another size, or does not run so.
    """
    from facelime_cli.predicting.device import Device
    from facelime_cli.predicting.fastest import fastest

    dataset = source.segmentation.input("datasets")
    precision = params.precision or runtimes.FLOAT32
    is_auto = params.runtime == AUTO
    runtime = runtimes.usual(model).runtime if is_auto else runtimes.settle(model, params.runtime, precision)
    if not params.resize:
        runtimes.check_size(model, dataset)
    pictures, wanted = (shapes.sides(each.facts["size"]) for each in (dataset, model))
    if pictures[0] * wanted[1] != pictures[1] * wanted[0]:
        context.console.warn(
            f"--resize stretches pictures of {shapes.shown(pictures)} to {shapes.shown(wanted)} for models/{model.id}, "
            f"so it sees other shapes; `facelime preprocess --size {shapes.typed(wanted)} --fit pad` keeps them."
        )
    # A layer that changes nothing would change the fingerprint.
    resize_from = pictures if pictures != wanted else None
    how = How(runtime, precision, resize_from)
    run = Run(source, model, how, params.tolerance, Device(stopping.deadline(params.time_budget)), context)
    return replace(run, how=replace(how, runtime=fastest(run))) if is_auto else run


def resolved(run: Run) -> dict[str, Any]:
    """Return what the options came to mean: the part of a fingerprint.

    Parameters
    ----------
    run : Run
    """
    how = run.how
    return {"runtime": how.runtime, "precision": how.precision, "resize": how.resize_from is not None}


def wanted_batch(text: str | None) -> int | str:
    """Return a batch size as a number, or one of the words for what is found out.

    Parameters
    ----------
    text : str, optional
        As it is typed.

    Raises
    ------
    CommandLineError
        When it is none.
    """
    if text is None or text == AUTO:
        return text or DEFAULT
    number = whole_number(text, 1, MOST_IN_BATCH)
    if number is None:
        raise CommandLineError(f"--batch-size {text!r} should be a whole number from 1 to {MOST_IN_BATCH}, or {AUTO}.")
    return number


def facts(artifact: Artifact) -> dict[str, Any]:
    """Return what was asked and what was reused, over all units.

    Parameters
    ----------
    artifact : Artifact
        All its units are finished.
    """
    units = artifact.facts_of_units()
    found: dict[str, Any] = {}
    for name in ("evaluations", "taken_over"):
        found[name] = sum(int(unit[name]) for unit in units)
    # None stands for the reference itself, which differs from nothing.
    differences = [unit["difference"] for unit in units if unit["difference"] is not None]
    if differences:
        found["difference"] = max(differences)
    return found
