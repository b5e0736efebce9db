"""Delete an artifact, after a question.

An artifact that another one was made from is kept.
"""

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
    yes: Annotated[bool, Option("--yes", help="Delete without a question.")] = False


def run(params: Params, context: Context) -> Answer:
    """Delete one artifact."""
    artifact = context.store.resolve(params.reference)
    reference = artifact.reference
    dependents = context.store.dependents(artifact)
    if dependents:
        made = ", ".join(each.reference for each in dependents)
        raise FacelimeError(f"{made} was made from {reference}; remove that first.")
    size = artifact.n_bytes
    if not params.yes and not _confirmed(f"Remove {reference} ({size_text(size)})?"):
        raise FacelimeError(f"{reference} was kept; answer y, or give --yes.")
    context.store.remove(artifact)
    return Answer({"removed": artifact.id, "kind": artifact.kind, "bytes": size}, [f"removed {reference}"])


def _confirmed(question: str) -> bool:
    # Without a terminal nobody can answer: what is not confirmed is kept.
    return sys.stdin.isatty() and confirm(question, err=True)


COMMAND = Command("remove", Params, run, __doc__ or "")
