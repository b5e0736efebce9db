"""Reopen the units of an artifact that `verify` finds broken.

The command that made the artifact then makes these units again, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Argument

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context
from facelime_cli.errors import BrokenError
from facelime_cli.options import Input
from facelime_cli.store import presence
from facelime_cli.store.artifacts import KINDS
from facelime_cli.store.verifying import faults, reopen


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
    found = faults(artifact)
    units = sorted({fault.unit for fault in found if fault.unit is not None})
    # A fault outside the units is in the manifest or the layout, which no command makes again.
    hopeless = [fault for fault in found if fault.unit is None]
    if hopeless:
        raise BrokenError(
            f"{artifact.reference}: {hopeless[0].what}; no unit can mend that. "
            "`facelime remove` the artifact and make it again."
        )
    value = {"artifact": artifact.id, "reopened": units}
    if not units:
        return Answer(value, ["nothing is broken."])
    with presence.attended(artifact.path):
        reopen(artifact, set(units))
    reopened = f"units {', '.join(map(str, units))} of {artifact.reference}"
    return Answer(value, [f"{reopened} are open again; repeat the `{artifact.stage}` command."])


COMMAND = Command("repair", Params, run, __doc__ or "")
