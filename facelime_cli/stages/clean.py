"""List what killed commands left in the store, and remove it with --yes.

It finds temporary files, claims of dead processes, half-removed artifacts, artifacts of which nothing is done,
and scratch files of finished work. What a live process may use stays: one of this machine, or one of another
machine that showed itself within a day.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.console import Answer, Table, size_text
from facelime_cli.engine import Command, Context
from facelime_cli.errors import BusyError
from facelime_cli.store import cleaning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.store.cleaning import Found

COLUMNS = ("what", "path", "size", "why")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `clean`."""

    yes: Annotated[bool, Option("--yes", help="Remove what is listed. Without it, nothing is removed.")] = False
    unfinished: Annotated[
        bool,
        Option(
            "--unfinished",
            help="Count unfinished artifacts with finished work as left over too. "
            "Without it they are listed and kept, since the command that makes them goes on.",
        ),
    ] = False


def run(params: Params, context: Context) -> Answer:
    """Find what is left over, and remove it where that is wanted."""
    every = cleaning.found_in(context.store, unfinished=params.unfinished)
    listed = [_described(each, context) for each in every]
    left_over = [each for each in every if each.removable]
    n_bytes = sum(row["bytes"] for row in listed if row["removable"])
    failed = []
    for found, row in zip(every, listed, strict=True):
        if params.yes and found.removable:
            row["removed"] = _removed(found, row, context)
            failed += [] if row["removed"] else [row]
    value = {
        "store": str(context.store.shown),
        "found": listed,
        "bytes": n_bytes,
        "removed": sum(row["removed"] for row in listed),
    }
    line = _in_words(len(left_over), n_bytes, len(failed), removed=params.yes)
    return Answer(value, [line], _tables(listed), code=1 if failed else 0)


def _described(found: Found, context: Context) -> dict[str, Any]:
    root = context.store.root
    # Folders of the system's own for temporary files are outside of every store.
    path = found.path.relative_to(root) if found.path.is_relative_to(root) else found.path
    place = os.fsencode(path).decode(errors="backslashreplace")
    return {
        "kind": found.kind,
        "path": place,
        "bytes": found.n_bytes,
        "why": found.why,
        "removable": found.removable,
        "removed": False,
    }


def _removed(found: Found, row: dict[str, Any], context: Context) -> bool:
    """Remove one thing and return whether it is gone; what cannot be removed keeps nothing else from it."""
    try:
        cleaning.remove(context.store, found)
    except (OSError, BusyError) as why:
        reason = why.strerror if isinstance(why, OSError) else str(why)
        context.console.error(f"{row['path']} cannot be removed ({reason}).")
        return False
    return True


def _tables(listed: Sequence[dict[str, Any]]) -> list[Table]:
    tables = []
    for removable, title in ((True, "left over"), (False, "kept")):
        chosen = [each for each in listed if each["removable"] is removable]
        rows = [(each["kind"], each["path"], size_text(each["bytes"]), each["why"]) for each in chosen]
        if rows:
            tables.append(Table(COLUMNS, rows, title))
    return tables


def _in_words(count: int, n_bytes: int, failed: int, *, removed: bool) -> str:
    if not count:
        return "nothing is left over"
    things = f"{count} left over ({size_text(n_bytes)})"
    if not removed:
        return f"{things}; `facelime clean --yes` removes them"
    return f"removed {count - failed} of {things}" if failed else f"removed {things}"


COMMAND = Command("clean", Params, run, __doc__ or "")
