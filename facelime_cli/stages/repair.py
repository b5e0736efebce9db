"""Make room for the units of an artifact that `verify` finds broken, so that its own command makes just these again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Argument

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context
from facelime_cli.errors import BrokenError
from facelime_cli.options import Input
from facelime_cli.stages.verify import faults_of
from facelime_cli.store.artifacts import KINDS
from facelime_cli.store.verifying import reopen


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `repair`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]


def run(params: Params, context: Context) -> Answer:
    """Reopen the broken units."""
    artifact = context.store.resolve(params.reference)
    faults = faults_of(artifact)
    units = sorted({fault.unit for fault in faults if fault.unit is not None})
    hopeless = [fault for fault in faults if fault.unit is None]
    if hopeless:
        raise BrokenError(
            f"{artifact.kind}/{artifact.id}: {hopeless[0].what}; that cannot be mended by unit. `facelime remove` the artifact and make it again."
        )
    if units:
        reopen(artifact, set(units))
    said = (
        f"units {', '.join(map(str, units))} of {artifact.kind}/{artifact.id} are open again; repeat the `{artifact.stage}` command."
        if units
        else "nothing is broken."
    )
    return Answer({"artifact": artifact.id, "reopened": units}, [said])


COMMAND = Command("repair", Params, run, __doc__ or "")
