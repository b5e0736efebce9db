"""List, add or remove the models whose code may run here: Lambda layers, SavedModels, Python functions.

A model that carries code is loaded only where you trust it: you, on this machine, for exactly these bytes. What you
trust is kept outside every store, in $XDG_STATE_HOME/facelime/trust.json, else below ~/.local/state. So a store that
was copied from elsewhere brings no trust with it.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Annotated

from typer import Argument, Option, confirm

from facelime_cli import machine, trust
from facelime_cli.console import Answer, Table
from facelime_cli.engine import Command, Context
from facelime_cli.errors import AmbiguousError, CommandLineError, FacelimeError, NotFoundError
from facelime_cli.options import Choice, Input

LIST, ADD, REMOVE = "list", "add", "remove"
KINDS = ("keras", "saved-model", "function", "torch-export", "torchscript")
"""Kinds of code. What facelime has made itself is kept in the same file, and is nothing to decide about."""
COLUMNS = ("digest", "kind", "model", "trusted since")
SHORT = 12
"""Digits of a digest that a list shows, and that name it."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `trust`."""

    action: Annotated[
        str,
        Choice((LIST, ADD, REMOVE)),
        Argument(metavar="list|add|remove", help="Say what to do.", show_default=False),
    ]
    model: Annotated[
        str | None,
        Argument(
            metavar="MODEL|DIGEST",
            help="Model in the store, for `add` and `remove`; `remove` also takes a digest, or its first "
            f"{SHORT} digits or more.",
            show_default=False,
        ),
        Input(("models",)),
    ] = None
    yes: Annotated[bool, Option("--yes", help="Add without a question.")] = False


def run(params: Params, context: Context) -> Answer:
    """Do one of the three."""
    if params.action == LIST:
        if params.model is not None:
            raise CommandLineError(f"`trust list` lists all that you trust; leave {params.model} out.")
        return _list()
    if params.model is None:
        raise CommandLineError(f"`trust {params.action}` needs a model; name one of `facelime status`.")
    return _add(params, context) if params.action == ADD else _remove(params.model, context)


def _known() -> list[trust.Entry]:
    return [each for each in trust.entries() if each.kind in KINDS]


def _list() -> Answer:
    known = _known()
    value = {"file": str(machine.state_folder() / trust.FILE), "trusted": [asdict(each) for each in known]}
    if not known:
        return Answer(value, ["you trust no model that carries code"])
    rows = [(each.digest[:SHORT], each.kind, each.name, each.added) for each in known]
    return Answer(value, tables=[Table(COLUMNS, rows)])


def _add(params: Params, context: Context) -> Answer:
    from facelime_cli.answering import programs

    model = context.store.resolve(str(params.model), ("models",)).require_complete()
    program = programs.of_stored(model)
    if program is None:
        raise FacelimeError(f"{model.reference} carries no code, so there is nothing to trust; use it as it is.")
    what = f"{program.words}, digest {program.digest}"
    if not program.trusted:
        if not params.yes and not _confirmed(f"{model.reference} is {what}. May it run with your rights?"):
            raise FacelimeError(f"{model.reference} ({what}) is not trusted; answer y, or give --yes.")
        trust.add(program.kind, program.digest, model.reference)
    value = {"trusted": model.reference, "kind": program.kind, "digest": program.digest}
    return Answer(value, [f"trusted {model.reference}: {what}"])


def _remove(named: str, context: Context) -> Answer:
    digest = _chosen(named, context)
    trust.remove(digest)
    return Answer({"removed": digest}, [f"no longer trusted: {digest}"])


def _chosen(named: str, context: Context) -> str:
    """Return the digest of what is to be removed: from its own first digits, or from a model in the store."""
    from facelime_cli.answering.programs import of_stored

    known = _known()
    begun = [each.digest for each in known if len(named) >= SHORT and each.digest.startswith(named)]
    if len(begun) > 1:
        raise AmbiguousError(
            f"{named} begins {len(begun)} digests; give more digits, see `facelime trust list --json`."
        )
    if begun:
        return begun[0]
    try:
        model = context.store.resolve(named, ("models",)).require_complete()
    except NotFoundError as why:
        raise NotFoundError(
            f"you trust no digest {named}, and there is no such model; see `facelime trust list`."
        ) from why
    program = of_stored(model)
    if program is None or program.digest not in {each.digest for each in known}:
        raise FacelimeError(f"you do not trust {model.reference} as it is now; see `facelime trust list`.")
    return program.digest


def _confirmed(question: str) -> bool:
    # Without a terminal nobody can answer: what is not confirmed is not trusted.
    return sys.stdin.isatty() and confirm(question, err=True)


COMMAND = Command("trust", Params, run, __doc__ or "")
