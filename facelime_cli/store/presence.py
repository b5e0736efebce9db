"""Who works on an artifact: whoever holds a claim on one of its units, and whoever has not got that far yet.

Between laying an artifact out and claiming its first unit, a process may load a model for minutes. So it shows itself
by a temporary file beside the claims.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from facelime_cli.errors import BusyError
from facelime_cli.store import claims, temporary
from facelime_cli.store.processes import this_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CLAIMS = "claims"
"""Folder of an artifact that holds the claims on its units."""
AT_WORK = "at-work"


def show(folder: Path) -> None:
    """Show others that this process works on an artifact, until `attended` ends or the process does.

    Parameters
    ----------
    folder : Path
        The folder of the artifact, with its claims.
    """
    temporary.beside(folder / CLAIMS / AT_WORK).touch()


@contextmanager
def attended(folder: Path, *, everywhere: bool = True) -> Iterator[None]:
    """Remove what dead processes left in an artifact, and show others that this one works on it.

    Parameters
    ----------
    folder : Path
        The folder of the artifact.
    everywhere : bool
        Whether to look into every folder. The folders of arrays have a file for every unit: of many shards only who
        seals looks there, since each would list them all.
    """
    if everywhere:
        sweep(folder)
    else:
        temporary.sweep([folder, folder / CLAIMS])
    (folder / CLAIMS).mkdir(mode=0o700, exist_ok=True)
    show(folder)
    try:
        yield
    finally:
        for path, owner in _shown(folder):
            if owner.is_me:
                path.unlink(missing_ok=True)


@contextmanager
def used(folders: Iterable[Path]) -> Iterator[None]:
    """Show others that this process reads some complete artifacts, so that nobody removes them meanwhile.

    What dead readers left there is removed.

    Parameters
    ----------
    folders : iterable of Path
        The folders of the artifacts.
    """
    shown = []
    try:
        for folder in folders:
            temporary.sweep([folder / CLAIMS], AT_WORK)
            path = temporary.beside(folder / CLAIMS / AT_WORK)
            # A store that may only be read is read all the same.
            with suppress(OSError):
                path.touch()
                shown.append(path)
        yield
    finally:
        for path in shown:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what dead processes left anywhere in an artifact.

    Parameters
    ----------
    folder : Path
        The folder of the artifact.
    """
    inside = [Path(each) for each, _, _ in os.walk(folder)]
    # What does not say whose it is can only be of those who work here now.
    temporary.sweep(inside, nobody=not why_busy(folder))


def refuse_if_attended(folder: Path) -> None:
    """Raise when another live process of this machine works on an artifact.

    Parameters
    ----------
    folder : Path
        The folder of the artifact.

    Raises
    ------
    BusyError
        Naming the process.
    """
    for _, owner in _shown(folder):
        if owner.is_here and not owner.is_dead and not owner.is_me:
            raise BusyError(f"process {owner.pid} works on {folder.parent.name}/{folder.name}; wait for it, or end it.")


def why_busy(folder: Path) -> str:
    """Return who may be at work on an artifact beside this process.

    Parameters
    ----------
    folder : Path
        The folder of the artifact.

    Returns
    -------
    str
        A live process of this machine, or one of another machine that showed itself within a day; else empty.
    """
    for path, owner in _shown(folder):
        if not owner.is_me and not temporary.why_abandoned(path):
            return f"process {owner.pid} works on it" if owner.is_here else "a process of another machine works on it"
    for path in sorted((folder / CLAIMS).glob("[0-9]*")):
        if not why_dead(path):
            return "a process holds one of its units"
    return ""


def why_dead(claim: Path) -> str:
    """Return why a claim holds nothing any more.

    Parameters
    ----------
    claim : Path
        Its file.

    Returns
    -------
    str
        Empty where its process may be alive: another machine's is, when it has beaten within a day.
    """
    holder = claims.read(claim)
    if holder is not None and holder["host"] == this_host():
        return "" if claims.alive(holder) else "its process is gone"
    return "no sign of life for a day" if temporary.is_old(claim) else ""


def _shown(folder: Path) -> Iterator[tuple[Path, temporary.Owner]]:
    for path in sorted((folder / CLAIMS).glob(f".{AT_WORK}.*")):
        owner = temporary.owner_of(path.name)
        if owner is not None:
            yield path, owner
