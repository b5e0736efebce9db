"""List artifacts that are old, superseded or unused, with their sizes, and remove them with --yes.

An artifact goes when all that you ask for is true of it. These stay in any case: what an artifact that stays was made
from, what a process works on or reads, what is unfinished (see `clean`), and what is damaged (see `remove`).
"""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.console import Answer, size_text
from facelime_cli.engine import Command, Context
from facelime_cli.errors import BrokenError, CommandLineError, FacelimeError
from facelime_cli.filters import Filters, age_text, moment_of
from facelime_cli.store import removing
from facelime_cli.store.lineage import Lineage
from facelime_cli.store.presence import why_busy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.store.artifacts import Artifact

ENDS = ("evaluations", "reports")
"""Kinds that people read. Nothing is made from them, and yet they are used."""
USED = "others were made from it"


@dataclass(frozen=True, kw_only=True)
class Params(Filters):
    """Parameters of `prune`."""

    keep_last: Annotated[
        int | None,
        Option(
            min=1,
            show_default=False,
            help="Of artifacts of one kind and name, only those that are not among the N completed last.",
        ),
    ] = None
    unused: Annotated[
        bool,
        Option(
            "--unused",
            help="Only artifacts from which nothing was made, or nothing that stays. Evaluations and reports count as "
            "used: people read them.",
        ),
    ] = False
    yes: Annotated[bool, Option("--yes", help="Remove what is listed. Without it, nothing is removed.")] = False


def run(params: Params, context: Context) -> Answer:
    """Find what goes, and remove it where that is wanted."""
    if params.keep_last is None and params.older_than is None and not params.unused:
        raise CommandLineError("`prune` does not know what may go; give --keep-last, --older-than or --unused.")
    lineage = Lineage(context.store)
    going, kept = _divided(params, lineage)
    now = time.time()
    listed: list[dict[str, Any]] = []
    for each in removing.in_order(lineage, going):
        artifact = going[each]
        age = now - moment_of(artifact)
        listed.append({"artifact": each, "bytes": artifact.n_bytes, "age_seconds": round(age), "removed": False})
    lines = [f"{size_text(one['bytes']):>10}  {age_text(one['age_seconds']):>6}  {one['artifact']}" for one in listed]
    failed = 0
    for one in listed if params.yes else []:
        one["removed"] = _removed(one["artifact"], lineage, context)
        failed += not one["removed"]
    value = {
        "store": str(context.store.shown),
        "found": listed,
        "kept": [{"artifact": each, "why": why} for each, why in kept.items()],
        "bytes": sum(one["bytes"] for one in listed),
        "removed": sum(one["removed"] for one in listed),
    }
    return Answer(value, [*lines, _in_words(value, removed=params.yes)], said=_said(kept), code=1 if failed else 0)


def _divided(params: Params, lineage: Lineage) -> tuple[dict[str, Artifact], dict[str, str]]:
    """Return what goes, and of what is asked for but stays why it does."""
    chosen, going, kept = params.chooser(), {}, {}
    last = _last(lineage, params.keep_last)
    for reference, artifact in lineage.artifacts.items():
        if chosen(artifact) and reference not in last and not (params.unused and artifact.kind in ENDS):
            why = _why_kept(artifact)
            if why:
                kept[reference] = why
            else:
                going[reference] = artifact
    # What stays keeps what it was made from, and that keeps what that was made from.
    while held := [each for each in going if any(child not in going for child in lineage.children(each))]:
        for each in held:
            going.pop(each)
            if not params.unused:
                kept[each] = USED
    return going, kept


def _last(lineage: Lineage, count: int | None) -> set[str]:
    """Return the artifacts that are among the so many last of their kind and of any of their names."""
    if count is None:
        return set()
    groups: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for reference, artifact in lineage.artifacts.items():
        if artifact.complete:
            for name in artifact.names or [artifact.id]:
                groups.setdefault((artifact.kind, name), []).append((moment_of(artifact), reference))
    return {reference for group in groups.values() for _, reference in sorted(group)[-count:]}


def _why_kept(artifact: Artifact) -> str:
    """Return why an artifact stays, whatever else is true of it; empty where it may go."""
    busy = why_busy(artifact.path)
    if busy:
        return busy
    if not artifact.complete:
        return "it is unfinished"
    try:
        artifact.require_complete()
        _ = artifact.n
    except BrokenError:
        return "it is damaged"
    return ""


def _removed(reference: str, lineage: Lineage, context: Context) -> bool:
    """Remove one artifact and return whether it is gone; what cannot be removed keeps nothing else from it."""
    try:
        removing.remove(context.store, lineage, reference)
    except (OSError, FacelimeError) as why:
        # On a disk that may only be read, no other can go either: the command ends with that sentence.
        if isinstance(why, OSError) and why.errno == errno.EROFS:
            raise
        reason = f"{why.strerror}." if isinstance(why, OSError) else str(why)
        context.console.error(f"{reference} was not removed: {reason}")
        return False
    return True


def _in_words(value: Mapping[str, Any], *, removed: bool) -> str:
    count = len(value["found"])
    if not count:
        return "nothing is to be removed"
    things = f"{count} artifact{'' if count == 1 else 's'} ({size_text(value['bytes'])})"
    if not removed:
        return f"{things}; the same command with --yes removes {'it' if count == 1 else 'them'}"
    return f"removed {things}" if value["removed"] == count else f"removed {value['removed']} of {things}"


def _said(kept: Mapping[str, str]) -> list[str]:
    """Return how many artifacts stay though they were asked for, and why."""
    whys = list(kept.values())
    return [f"{whys.count(why)} kept: {why}" for why in dict.fromkeys(whys)]


COMMAND = Command("prune", Params, run, __doc__ or "")
