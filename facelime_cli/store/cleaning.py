"""Finding and removing what killed commands left in a store; what anybody may still use stays."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facelime_cli.errors import BrokenError, first_line
from facelime_cli.store import forms, presence, temporary, units
from facelime_cli.store.artifacts import Artifact
from facelime_cli.store.kinds import KINDS
from facelime_cli.store.manifests import MANIFEST
from facelime_cli.store.references import BEFORE, IDS, REMOVING, is_orphan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facelime_cli.store.references import Store

KEPT = "kept"
"""Folder of an artifact that holds what can be made from it again; other commands work there."""
MALFORMED = (BrokenError, OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
"""What reading a malformed artifact may raise."""


@dataclass(frozen=True)
class Found:
    """Something in a store that no finished work needs.

    Attributes
    ----------
    kind : str
        What it is, in words.
    path : Path
        Where it is.
    why : str
        Why it is taken for left over, or why it stays.
    removable : bool
        Whether `remove` removes it.
    artifact : Artifact, optional
        Where it is a whole artifact.
    """

    kind: str
    path: Path
    why: str
    removable: bool = True
    artifact: Artifact | None = None

    @property
    def n_bytes(self) -> int:
        """How much it takes on the disk; a symbolic link is not followed."""
        return sum(_file_bytes(path) for path in temporary.tree(self.path))


def found_in(store: Store, *, unfinished: bool = False) -> list[Found]:
    """Look for what killed commands left.

    Parameters
    ----------
    store : Store
        Nothing in it is changed.
    unfinished : bool
        Whether unfinished artifacts with finished work count as removable.

    Returns
    -------
    list of Found
        By place. Nothing that a live process of this machine uses, or one of another machine within a day.
    """
    found = [Found("temporary", path, temporary.why_abandoned(path)) for path in temporary.left_outside()]
    if not store.root.is_dir():
        return found
    used = _used(store)
    found += _temporaries(store.root)
    for kind in KINDS:
        place = store.root / kind
        if place.is_symlink():
            found.append(_link(place))
        elif place.is_dir():
            found += _in_kind(store, place, used, unfinished=unfinished)
    return found


def remove(store: Store, found: Found) -> None:
    """Remove one thing that was found.

    Parameters
    ----------
    store : Store
        Where it was found.
    found : Found
        A removable one.

    Raises
    ------
    BusyError
        When a process has begun to work on it meanwhile.
    OSError
        When it cannot be removed.
    """
    if found.artifact is not None:
        store.remove(found.artifact)
    else:
        temporary.delete(found.path)


def _in_kind(store: Store, place: Path, used: set[tuple[str, str]], *, unfinished: bool) -> Iterator[Found]:
    yield from _temporaries(place)
    yield from _agreed_ids(place)
    for path in sorted(place.iterdir()):
        if temporary.is_temporary(path.name) or path.name == IDS:
            continue
        if path.is_symlink():
            yield _link(path)
        elif path.name.startswith(BEFORE):
            if temporary.is_old(path):
                yield Found("scratch", path, "untouched for a day")
        elif path.is_dir() and not path.name.startswith("."):
            yield from _in_artifact(Artifact(store, path), used, unfinished=unfinished)


def _temporaries(place: Path, *, nobody: bool = False) -> Iterator[Found]:
    """Yield the temporary files and folders directly in a folder that nobody uses."""
    for path in sorted(place.iterdir()):
        why = temporary.why_abandoned(path, nobody=nobody) if temporary.is_temporary(path.name) else ""
        if why:
            removing = path.name.startswith(f".{REMOVING}")
            yield Found("half-removed artifact" if removing else "temporary", path, why)


def _agreed_ids(place: Path) -> Iterator[Found]:
    """Yield agreed ids of artifacts that are not there, unless somebody may be laying one out."""
    ids = place / IDS
    if ids.is_symlink():
        yield _link(ids)
        return
    if not ids.is_dir():
        return
    yield from _temporaries(ids)
    # Whoever agrees on an id has made a temporary folder before.
    if any(path.is_dir() and not temporary.why_abandoned(path) for path in place.glob(".laying*")):
        return
    for path in sorted(ids.iterdir()):
        if path.is_symlink():
            yield _link(path)
        elif forms.DIGEST.fullmatch(path.name) and path.is_file() and is_orphan(path):
            yield Found("agreed id", path, "its artifact is not there")


def _in_artifact(artifact: Artifact, used: set[tuple[str, str]], *, unfinished: bool) -> Iterator[Found]:
    """Yield the whole artifact where it can go, else what is left over inside."""
    whole = _as_a_whole(artifact, used, unfinished=unfinished)
    if whole is not None:
        yield whole
        if whole.removable:
            return
    busy = presence.why_busy(artifact.path)
    for folder, folders, names in os.walk(artifact.path):
        place = Path(folder)
        yield from _temporaries(place, nobody=not busy and place.name != KEPT)
        for name in sorted((*folders, *names)):
            if (place / name).is_symlink() and not temporary.is_temporary(name):
                yield _link(place / name)
        folders[:] = sorted(name for name in folders if not temporary.is_temporary(name))
    for path in _numbered(artifact.path / presence.CLAIMS):
        why = presence.why_dead(path)
        if why:
            yield Found("claim", path, why)
    if not busy:
        yield from _of_finished_work(artifact)


def _of_finished_work(artifact: Artifact) -> Iterator[Found]:
    """Yield what only unfinished work needs, where the work is finished."""
    begun = artifact.path / units.BEGUN
    if artifact.complete:
        for folder in (begun, artifact.path / units.RECORDS):
            if folder.is_dir() and not folder.is_symlink():
                yield Found("scratch", folder, "the artifact is complete")
        return
    for path in _numbered(begun):
        if path.name.isdecimal() and units.record_path(artifact.path, int(path.name)).is_file():
            yield Found("scratch", path, "its unit is finished")


def _numbered(folder: Path) -> list[Path]:
    """Return what has a unit's number in a folder; none where that is a symbolic link to elsewhere."""
    return [] if folder.is_symlink() else sorted(folder.glob("[0-9]*"))


def _as_a_whole(artifact: Artifact, used: set[tuple[str, str]], *, unfinished: bool) -> Found | None:
    """Return how an artifact that is not complete stands; None for a complete one, and where somebody is at work."""
    try:
        if artifact.complete:
            artifact.require_complete()
            _ = artifact.layout
            return None
        return _unfinished(artifact, used, unfinished=unfinished)
    except MALFORMED as why:
        told = f"{first_line(why)}; `facelime verify {artifact.reference}` says more"
        return Found("damaged artifact", artifact.path, told, removable=False)


def _unfinished(artifact: Artifact, used: set[tuple[str, str]], *, unfinished: bool) -> Found | None:
    stage, untouched, progress = artifact.stage, artifact.untouched, artifact.progress
    if presence.why_busy(artifact.path):
        return None
    # Sealing takes the records away after it has written the manifest.
    if not (artifact.path / units.RECORDS).is_dir():
        told = f"it was complete and its {MANIFEST} is gone; bring that back, or `facelime remove` it"
        return Found("damaged artifact", artifact.path, told, removable=False)
    if (artifact.kind, artifact.id) in used:
        told = f"others were made from it; repeat the `{stage}` command that makes it"
        return Found("unfinished artifact", artifact.path, told, removable=False)
    if untouched:
        return Found("never-finished artifact", artifact.path, "nothing of it is done", artifact=artifact)
    remedy = "" if unfinished else f"; repeat the `{stage}` command, or give --unfinished"
    return Found("unfinished artifact", artifact.path, progress + remedy, removable=unfinished, artifact=artifact)


def _used(store: Store) -> set[tuple[str, str]]:
    """Return kind and id of every artifact that another one was made from."""
    found = set()
    for artifact in store.artifacts():
        try:
            found |= {(str(each.get("kind")), str(each.get("id"))) for each in artifact.inputs.values()}
        except MALFORMED:
            continue
    return found


def _link(path: Path) -> Found:
    return Found("symbolic link", path, f"points to {path.readlink()}; facelime made no link", removable=False)


def _file_bytes(path: Path) -> int:
    try:
        found = path.lstat()
    except OSError:
        return 0
    return 0 if stat.S_ISDIR(found.st_mode) else found.st_size
