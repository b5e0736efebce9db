"""Mend what `verify` finds broken in an artifact.

Small files are written again where they can be. Broken units are opened again: the command that made the artifact then
makes these units, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context
from facelime_cli.errors import BrokenError
from facelime_cli.options import Input
from facelime_cli.store import presence
from facelime_cli.store.kinds import KINDS
from facelime_cli.store.verifying import faults, reopen

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `repair`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]


def run(params: Params, context: Context) -> Answer:
    """Mend what can be mended, and open broken units again."""
    artifact = context.store.resolve(params.reference)
    mended: list[str] = []
    while True:
        found = faults(artifact)
        # A file that no unit made and that cannot be written again: no command makes it.
        hopeless = [fault for fault in found if not fault.mendable or fault.what in mended]
        if hopeless:
            raise BrokenError(
                f"{artifact.reference}: {hopeless[0].what}; nothing can mend that. "
                "`facelime remove` the artifact and make it again."
            )
        repairs = [fault for fault in found if fault.mend is not None]
        if not repairs:
            break
        artifact.refuse_if_busy()
        for fault in repairs:
            assert fault.mend is not None
            fault.mend()
            mended.append(fault.what)
    units = sorted({fault.unit for fault in found if fault.unit is not None})
    if units:
        with presence.attended(artifact.path):
            reopen(artifact, set(units))
    return _answer(artifact, mended, units)


def _answer(artifact: Artifact, mended: list[str], units: list[int]) -> Answer:
    value = {"artifact": artifact.id, "mended": mended, "reopened": units}
    lines = [f"mended: {what}." for what in mended]
    if units:
        reopened = f"units {', '.join(map(str, units))} of {artifact.reference}"
        lines.append(f"{reopened} are open again; repeat the `{artifact.stage}` command.")
    elif mended and not artifact.complete:
        lines.append(f"{artifact.reference} is not complete; repeat the `{artifact.stage}` command.")
    return Answer(value, lines or ["nothing is broken."])


COMMAND = Command("repair", Params, run, __doc__ or "")
