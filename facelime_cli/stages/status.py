"""List what is in the store: complete, or how far; its size; when it was made."""

from __future__ import annotations

from dataclasses import dataclass

from facelime_cli.console import Answer, Table, size_text
from facelime_cli.engine import Command, Context
from facelime_cli.store.artifacts import standing


@dataclass(frozen=True, kw_only=True)
class Params:
    """`status` has no parameters of its own."""


def run(params: Params, context: Context) -> Answer:
    """Describe every artifact by kind and id."""
    del params
    found = [standing(each) for each in context.store.artifacts()]
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


COMMAND = Command("status", Params, run, __doc__ or "")
