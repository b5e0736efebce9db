"""Make a model of one output of a network that learned several labels, see `finetune --labels`.

Every command that reads a model takes its first output. Where a command has no --output, give it the model made here.
The network's file is copied as it is; nothing is loaded.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.answering import several
from facelime_cli.engine import Plan, Stage, facts_of_only_unit
from facelime_cli.errors import BrokenError, CommandLineError, NotFoundError
from facelime_cli.models.backbones import SOFTMAX
from facelime_cli.options import Input
from facelime_cli.plain import shown
from facelime_cli.store import digests
from facelime_cli.store.arrays import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

OF_ALL = frozenset({several.HEADS, "name", "temperatures"})
"""Facts of all outputs together, which say nothing of one of them."""
OF_THE_TRAINING = "history"
"""Begins the names of the files that tell of the training alone."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `take-output`."""

    model: Annotated[
        str,
        Argument(metavar="MODEL", help="Model, or - to read it from standard input.", show_default=False),
        Input(("models",)),
    ]
    output: Annotated[str, Option(metavar="NAME", help="Take this output.", show_default=False)]


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find the output among those that the model names."""
    del context
    model = inputs["model"]
    facts = facts_of(model, params.output)

    def work(artifact: Artifact, units: Pending) -> None:
        for unit in units:
            unit.finish({}, made=_copied(model, artifact), facts=facts)

    # Whoever asks where a model was trained finds it there, as with any other.
    with suppress(NotFoundError):
        inputs = {**inputs, "dataset": model.input("datasets")}
    return Plan(
        params=params,
        name=f"{model.name}-{params.output}",
        prepare=lambda: Layout(1, facts={name: facts[name] for name in ("classes", "size")}),
        work=work,
        inputs=inputs,
        finish=facts_of_only_unit,
    )


def facts_of(model: Artifact, output: str) -> dict[str, Any]:
    """Return what a model says of itself, as a model of one of its outputs says it.

    Parameters
    ----------
    model : Artifact
    output : str
        The name of one of its outputs.

    Returns
    -------
    dict

    Raises
    ------
    CommandLineError
        Where the model has no such output, or only one.
    """
    further = several.chosen(model, output)
    every = several.outputs_of(model)
    if not every:
        raise CommandLineError(f"{model.reference} answers with {shown(output)} already; use it as it is.")
    its = every[0] if further is None else further
    facts = {name: value for name, value in {**model.facts, **its}.items() if name not in OF_ALL}
    # The first output may end in a sigmoid unit; the others do not.
    if further is not None:
        facts["output"] = SOFTMAX
    for name in (several.LABEL_COLUMN, "temperature"):
        if facts.get(name) is None:
            facts.pop(name, None)
    weights = facts.get("class_weights")
    facts["class_weights"] = weights.get(output) if isinstance(weights, dict) else None
    # The same file answers otherwise, so it is another model for everything that follows.
    facts["model"] = digests.of_value({"model": model.facts["model"], several.ANSWERS: output})
    return {**facts, several.ANSWERS: output}


def _copied(model: Artifact, artifact: Artifact) -> list[str]:
    """Copy a model's files, and return their names."""
    from facelime_cli.answering import programs

    made = []
    for name, digest in model.file_digests.items():
        if name.startswith(OF_THE_TRAINING):
            continue
        target = artifact.file(name)
        # What a stop left is copied again.
        target.unlink(missing_ok=True)
        programs.copy(model.file(name), target, model.reference)
        if digests.of_file(target) != digest:
            raise BrokenError(f"{name} of {model.reference} is damaged; `facelime verify {model.reference}` says more.")
        made.append(name)
    return made


STAGE = Stage(name="take-output", writes="models", version=1, params=Params, plan=plan, help=__doc__)
