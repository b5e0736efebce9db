"""Seal an artifact whose units are all done, when the process that did the last one could not.

Whoever completes the last unit seals. A process that is killed between these two leaves nothing else to do. Where units
are missing, this says which, and exits with 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facelime_cli.engine import Command, Context, seal, stage_called
from facelime_cli.options import Input
from facelime_cli.store.kinds import KINDS

if TYPE_CHECKING:
    from facelime_cli.console import Answer


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `seal`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]


def run(params: Params, context: Context) -> Answer:
    """Seal one artifact, and answer as its stage would."""
    artifact = context.store.resolve(params.reference)
    result = seal(artifact, context)
    return stage_called(artifact.stage).answer(result)


COMMAND = Command("seal", Params, run, __doc__ or "")
