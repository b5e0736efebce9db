"""List the artifacts in the store: how far they are, how large, and when they were begun."""

from __future__ import annotations

from dataclasses import dataclass

from facelime_cli.console import Answer, Table, size_text
from facelime_cli.engine import Command, Context
from facelime_cli.store.artifacts import standing

COLUMNS = ("kind", "artifact", "names", "state", "size", "begun")


@dataclass(frozen=True, kw_only=True)
class Params:
    """`status` has no parameters of its own."""


def run(params: Params, context: Context) -> Answer:
    """Say of every artifact how it stands."""
    del params
    # Broken artifacts are listed like all others: here is where one looks for them.
    found = [standing(each) for each in context.store.artifacts()]
    value = {"store": str(context.store.shown), "artifacts": found}
    if not found:
        return Answer(value, [f"nothing in {context.store.shown} yet"])
    rows = []
    for each in found:
        names, size = ", ".join(each["names"]), size_text(each["bytes"])
        rows.append((each["kind"], each["artifact"], names, each["state"], size, each["begun"]))
    return Answer(value, tables=[Table(COLUMNS, rows)])


COMMAND = Command("status", Params, run, __doc__ or "")
