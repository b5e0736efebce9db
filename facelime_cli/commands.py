"""The commands that made an artifact: told from its parameters, and from those of all that it was made from."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from facelime_cli.engine import stage_called
from facelime_cli.options import hints, takes_several, typed
from facelime_cli.store.artifacts import lineage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.store.artifacts import Artifact

LONGEST_WORD = 100_000
"""Bytes of one word of a command line; Linux takes up to 128 KiB."""
FILE = "FILE"
"""What stands for the picture of a fill."""
IDS = "IDS"
"""What stands for the ids of pictures that are too many for a command line."""


@dataclass(frozen=True)
class Script:
    """Commands, each on a line.

    Attributes
    ----------
    lines : list of str
        For a POSIX shell. What a command prints is kept in a variable where a later one reads it.
    files : list of str
        The words that stand for files outside the store.
    """

    lines: list[str]
    files: list[str]


def in_order(artifact: Artifact) -> list[Artifact]:
    """Return an artifact and all that it was made from, each behind what it was made from itself.

    Parameters
    ----------
    artifact : Artifact
        The last of them.

    Raises
    ------
    NotFoundError
        When one is gone from the store.
    """
    every = {each.reference: each for each in (*reversed(lineage(artifact)), artifact)}
    found: dict[str, Artifact] = {}
    waiting = list(every.values())
    while waiting:
        ready = [each for each in waiting if all(parent.reference in found for parent in each.parents())]
        # Of artifacts that were made from each other, as a damaged store may tell, any may come first.
        for each in ready or waiting[:1]:
            found[each.reference] = each
        waiting = [each for each in waiting if each.reference not in found]
    return list(found.values())


def script(artifact: Artifact) -> Script:
    """Return the commands that made an artifact.

    References stand as variables, so that the commands also work in another store.

    Parameters
    ----------
    artifact : Artifact

    Raises
    ------
    NotFoundError
        When something that it was made from is gone, or this facelime does not have a stage.
    """
    every = in_order(artifact)
    variables: dict[str, str] = {}
    lines, outside = [], []
    for each in every:
        stage = stage_called(each.stage)
        params = stage.params_of(each)
        images = getattr(params, "images", None)
        if images is not None and len(images.encode()) > LONGEST_WORD:
            params = replace(params, images=IDS)
            outside.append(IDS)
        words = [stage.name, *typed(params), "--name", each.name]
        quoted = [f'"${variables[word]}"' if word in variables else shlex.quote(word) for word in words]
        line = " ".join(["facelime", *quoted])
        outside += [word for word in files_of(each) if word in words]
        outside += [FILE for word in words if word.endswith(f":{FILE}")]
        if each is not every[-1]:
            kind = each.kind.removesuffix("s")
            number = 1 + sum(value.rstrip("0123456789") == kind for value in variables.values())
            variables[each.reference] = f"{kind}{number}"
            line = f"{kind}{number}=$({line})"
        lines.append(line)
    return Script(lines, list(dict.fromkeys(outside)))


def files_of(artifact: Artifact) -> list[str]:
    """Return the words that stand for what an artifact's stage read from outside the store."""
    return [name.upper() for name, given in artifact.inputs.items() if "id" not in given]


def instead(params: Any, made: Mapping[str, str]) -> Any:
    """Return parameters in which other artifacts stand in the place of some.

    Parameters
    ----------
    params : dataclass
    made : mapping of str to str
        From references to references.
    """
    known = hints(type(params))
    changed: dict[str, Any] = {}
    for each in fields(params):
        value = getattr(params, each.name)
        if isinstance(value, str) and value in made:
            changed[each.name] = made[value]
        elif isinstance(value, list) and takes_several(known[each.name][0]):
            changed[each.name] = [made.get(one, one) if isinstance(one, str) else one for one in value]
    return replace(params, **changed)
