"""Delete an artifact. It asks first, and refuses while another artifact was made from this one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

from typer import Argument, Option, confirm

from facelime_cli.console import Answer, size_text
from facelime_cli.engine import Command, Context
from facelime_cli.errors import FacelimeError
from facelime_cli.options import Input
from facelime_cli.store.artifacts import KINDS


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `remove`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False


def run(params: Params, context: Context) -> Answer:
    """Delete one artifact."""
    artifact = context.store.resolve(params.reference)
    dependents = context.store.dependents(artifact)
    if dependents:
        raise FacelimeError(
            f"{artifact.kind}/{artifact.id} is what {', '.join(f'{each.kind}/{each.id}' for each in dependents)} was made from; remove that first."
        )
    size = artifact.n_bytes
    if not params.yes and not _confirmed(f"Remove {artifact.kind}/{artifact.id} ({size_text(size)})?"):
        raise FacelimeError(f"{artifact.kind}/{artifact.id} was kept; answer y, or give --yes.")
    context.store.remove(artifact)
    return Answer(
        {"removed": artifact.id, "kind": artifact.kind, "bytes": size}, [f"removed {artifact.kind}/{artifact.id}"]
    )


def _confirmed(question: str) -> bool:
    return sys.stdin.isatty() and confirm(question, err=True)


COMMAND = Command("remove", Params, run, __doc__ or "")
