"""List what is in the store: complete, or how far; its size; when it was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.console import Answer, Table, size_text
from facelime_cli.engine import Command, Context
from facelime_cli.errors import BrokenError

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True, kw_only=True)
class Params:
    """`status` has no parameters of its own."""


def run(params: Params, context: Context) -> Answer:
    """Describe every artifact by kind and id."""
    del params
    found = [describe(each) for each in context.store.artifacts()]
    rows = [
        (
            each["kind"],
            each["artifact"],
            ", ".join(each["names"]),
            each["state"],
            size_text(each["bytes"]),
            each["begun"],
        )
        for each in found
    ]
    table = Table(("kind", "artifact", "names", "state", "size", "begun"), rows)
    return Answer(
        {"store": str(context.store.root), "artifacts": found},
        [] if rows else [f"nothing in {context.store.root} yet"],
        [table] if rows else [],
    )


def describe(artifact: Artifact) -> dict[str, Any]:
    """Return how one artifact stands; a broken one says so instead of hiding the others."""
    size = sum(path.stat().st_size for path in artifact.path.rglob("*") if path.is_file())
    known = {"kind": artifact.kind, "artifact": artifact.id, "names": artifact.names, "bytes": size}
    try:
        complete = artifact.complete and bool(artifact.require_complete())
        return known | {
            "complete": complete,
            "state": "complete" if complete else artifact.progress,
            "stage": artifact.stage,
            "pictures": artifact.n,
            "begun": artifact.begun,
        }
    except BrokenError as why:
        return known | {"complete": False, "state": f"broken: {why}", "stage": "", "pictures": 0, "begun": ""}


COMMAND = Command("status", Params, run, __doc__ or "")
