"""Recompute every digest of one artifact, or of all, and name what differs.

The exit code is 1 when something differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context
from facelime_cli.options import Input
from facelime_cli.store.kinds import KINDS
from facelime_cli.store.verifying import faults

if TYPE_CHECKING:
    from facelime_cli.store.verifying import Fault


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
    """Check artifacts one after the other."""
    chosen = context.store.artifacts() if params.reference is None else [context.store.resolve(params.reference)]
    found: list[Fault] = []
    with context.console.progress("verify", len(chosen), unit="artifacts") as advance:
        for artifact in chosen:
            found += faults(artifact)
            advance(1)
    # Every fault is named before the command fails, so that one run tells all there is to mend.
    for fault in found:
        context.console.error(f"{fault.artifact}: {fault.what}.")
    if any(fault.mendable for fault in found):
        context.console.note("run `facelime repair REF`, then repeat the command that made the artifact.")
    unfinished = sum(not artifact.complete for artifact in chosen)
    value = {"verified": len(chosen), "unfinished": unfinished, "faults": [fault.json() for fault in found]}
    if found:
        return Answer(value, code=1)
    folders = "1 folder" if len(chosen) == 1 else f"{len(chosen)} folders"
    return Answer(value, [f"{folders} verified, {unfinished} of them unfinished; every digest holds."])


COMMAND = Command("verify", Params, run, __doc__ or "")
