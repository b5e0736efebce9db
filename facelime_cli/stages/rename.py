"""Give an artifact another name; its id and all that was made from it stay.

A shard that works on the artifact goes on: the folder stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context
from facelime_cli.errors import FacelimeError
from facelime_cli.options import Input
from facelime_cli.store.kinds import KINDS
from facelime_cli.store.references import check_name

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `rename`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]
    new: Annotated[str, Argument(metavar="NEW", help="The new name.", show_default=False)]
    old: Annotated[
        str | None,
        Option(
            metavar="NAME",
            show_default=False,
            help="Replace this name of the artifact. [default: the one that REF is, or its only one]",
        ),
    ] = None
    keep: Annotated[bool, Option("--keep", help="Keep the old name beside the new one.")] = False


def run(params: Params, context: Context) -> Answer:
    """Replace one name of an artifact."""
    artifact = context.store.resolve(params.reference)
    new = check_name(params.new, "NEW")
    old = None if params.keep else _old(artifact, params)
    same = [each for each in context.store.artifacts() if new in {each.id, *each.names} and each.path != artifact.path]
    taken = next((each for each in same if each.id == new), None)
    if taken is not None:
        raise FacelimeError(f"{new!r} is the id of {taken.reference}, which comes before any name; choose another NEW.")
    context.store.rename(artifact, old, new)
    others = [each for each in same if each.kind == artifact.kind]
    if others:
        context.console.warn(
            f"{new} is the name of {others[0].reference} too: it means the one that was completed last."
        )
    value = {"artifact": artifact.id, "kind": artifact.kind, "name": new, "replaced": old, "names": artifact.names}
    return Answer(value, [artifact.id], said=[f"{artifact.reference} is called {', '.join(artifact.names)} now."])


def _old(artifact: Artifact, params: Params) -> str | None:
    """Return the name that is to be replaced; None where the artifact has none, as in a copy that lost them."""
    names = artifact.names
    if params.old is not None:
        if params.old not in names:
            raise FacelimeError(
                f"{artifact.reference} is not called {params.old!r}; its names are {', '.join(names) or 'none'}."
            )
        return params.old
    word = params.reference.rpartition("/")[2]
    if word in names:
        return word
    if len(names) > 1:
        raise FacelimeError(
            f"{artifact.reference} has several names, {', '.join(names)}; say with --old which one goes, "
            "or give --keep."
        )
    return names[0] if names else None


COMMAND = Command("rename", Params, run, __doc__ or "")
