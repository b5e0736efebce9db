"""Recompute every digest, of one artifact or of all, and name what differs; exit code 1 when something does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context
from facelime_cli.errors import BrokenError
from facelime_cli.options import Input
from facelime_cli.store.artifacts import KINDS
from facelime_cli.store.verifying import Fault, faults

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `verify`."""

    reference: Annotated[
        str | None,
        Argument(
            metavar="[REF]", help="Artifact, or - to read it from standard input. [default: all]", show_default=False
        ),
        Input(KINDS),
    ] = None


def run(params: Params, context: Context) -> Answer:
    """Check the artifacts one after the other."""
    chosen = context.store.artifacts() if params.reference is None else [context.store.resolve(params.reference)]
    found: list[Fault] = []
    with context.console.progress("verify", len(chosen), unit="artifacts") as advance:
        for artifact in chosen:
            found += faults_of(artifact)
            advance(1)
    for fault in found:
        context.console.error(f"{fault.artifact}: {fault.what}.")
    if found:
        context.console.note(
            "`facelime repair REF` makes room for what is broken; then repeat the command that made the artifact."
        )
    lines = (
        [f"{len(chosen)} artifact{'' if len(chosen) == 1 else 's'} verified, every digest holds."] if not found else []
    )
    return Answer(
        {"verified": len(chosen), "faults": [asdict(fault) for fault in found]}, lines, code=1 if found else 0
    )


def faults_of(artifact: Artifact) -> list[Fault]:
    """Return what is wrong with an artifact; a broken manifest is a fault too."""
    try:
        return list(faults(artifact))
    except BrokenError as why:
        return [Fault(f"{artifact.kind}/{artifact.id}", str(why).rstrip("."), None)]


COMMAND = Command("verify", Params, run, __doc__ or "")
