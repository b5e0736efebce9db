"""Delete an artifact, after a question.

An artifact that another one was made from is kept, unless --with-children deletes these too.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, confirm

from facelime_cli.console import Answer, size_text
from facelime_cli.engine import Command, Context
from facelime_cli.errors import FacelimeError
from facelime_cli.options import Input
from facelime_cli.store import presence, removing
from facelime_cli.store.kinds import KINDS
from facelime_cli.store.lineage import Lineage

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDEST_SIZE = 10
"""Letters of a size in words."""
MOST_NAMED = 8
"""Artifacts that a message names."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `remove`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]
    with_children: Annotated[
        bool, Option("--with-children", help="Delete everything that was made from it, too; each is named first.")
    ] = False
    yes: Annotated[bool, Option("--yes", help="Delete without a question.")] = False


def run(params: Params, context: Context) -> Answer:
    """Delete one artifact, and what was made from it where that is wanted."""
    artifact = context.store.resolve(params.reference)
    reference = artifact.reference
    lineage = Lineage(context.store)
    children = lineage.below(reference)
    if children and not params.with_children:
        raise FacelimeError(_why_kept(reference, [each for each in lineage.children(reference) if each in children]))
    gone = [*children, reference]
    for each in gone:
        # Nothing is removed where something cannot be.
        presence.refuse_if_attended(lineage.artifacts[each].path)
        lineage.artifacts[each].refuse_if_busy()
    sizes = {each: lineage.artifacts[each].n_bytes for each in gone}
    size = sum(sizes.values())
    if not params.yes:
        for each in children:
            context.console.note(f"{size_text(sizes[each]).rjust(WIDEST_SIZE)}  {each}")
        more = f" and {len(children)} made from it" if children else ""
        if not _confirmed(f"Remove {reference}{more} ({size_text(size)})?"):
            raise FacelimeError(f"{reference} was kept; answer y, or give --yes.")
    for each in gone:
        removing.remove(context.store, lineage, each)
    value = {"removed": artifact.id, "kind": artifact.kind, "bytes": size, "artifacts": gone}
    return Answer(value, [f"removed {each}" for each in gone])


def _why_kept(reference: str, children: Sequence[str]) -> str:
    named = ", ".join(children[:MOST_NAMED])
    if len(children) > MOST_NAMED:
        named += f" and {len(children) - MOST_NAMED} others"
    verb, those = ("was", "that") if len(children) == 1 else ("were", "those")
    return f"{named} {verb} made from {reference}; remove {those} first, or give --with-children."


def _confirmed(question: str) -> bool:
    # Without a terminal nobody can answer: what is not confirmed is kept.
    return sys.stdin.isatty() and confirm(question, err=True)


COMMAND = Command("remove", Params, run, __doc__ or "")
