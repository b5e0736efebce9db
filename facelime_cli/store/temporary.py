"""Temporary files and folders whose names say whose they are, so that a dead process's can be cleaned up at once.

A name is `.NAME.HOST-PROCESS-START-NUMBER`: host and start are hashes, so that no machine's name gets into a store.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from facelime_cli.store.processes import process_start, this_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ABANDONED_SECONDS = 24 * 3600
"""From this age on, nobody is taken to work on what does not say whose it is, or is another machine's."""
HASH_DIGITS = 8
OUTSIDE = "facelime"
"""What the folders outside every store are called, between the dot and whose they are."""
OWNED = re.compile(
    rf"\..+\.(?P<host>[0-9a-f]{{{HASH_DIGITS}}})-(?P<pid>\d+)-(?P<start>[0-9a-f]{{{HASH_DIGITS}}})-[0-9a-f]+(\.[a-z]+)?"
)
"""The name of a temporary file or folder that `beside` gives."""
UNOWNED = re.compile(r"\.([^/]+\.)?[0-9a-f]{32}|\.laying-[0-9a-f]{32}|\..+\.part(\.png)?|.+\.[0-9a-f]{32}\.partial")
"""Those that earlier versions made, and zarr's own (`.partial`)."""


@dataclass(frozen=True)
class Owner:
    """Whose a temporary file is; hashes tell hosts and starts of processes apart.

    Attributes
    ----------
    host : str
        Of the machine and its process namespace.
    pid : int
        Number of the process.
    start : str
        Of the moment when the process started.
    """

    host: str
    pid: int
    start: str

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine, which can be looked for."""
        return self.host == _this_host()

    @property
    def is_dead(self) -> bool:
        """Whether it is a process of this machine that is gone."""
        return self.is_here and _start_of(self.pid) != self.start

    @property
    def is_me(self) -> bool:
        """Whether it is this process."""
        return self == _me(os.getpid())


def beside(path: Path, ending: str = "") -> Path:
    """Return a name for what becomes a file or a folder, in the same folder: there a rename is one step.

    Parameters
    ----------
    path : Path
        What it is to become.
    ending : str
        For writers that choose a format by it, such as `.png`.

    Returns
    -------
    Path
        Another one at each call. Nothing is made. The dot keeps it out of every pattern for files of the store.
    """
    me = _me(os.getpid())
    return path.with_name(f".{path.name}.{me.host}-{me.pid}-{me.start}-{uuid.uuid4().hex[:HASH_DIGITS]}{ending}")


@contextmanager
def outside() -> Iterator[Path]:
    """Hand out a private folder outside every store, for what a process needs and no later one.

    Yields
    ------
    Path
        An empty folder; it goes at the end, and with the next command after a kill.
    """
    place = Path(tempfile.gettempdir())
    sweep([place], OUTSIDE)
    folder = beside(place / OUTSIDE)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def left_outside() -> list[Path]:
    """Return the folders of `outside` that dead processes of this user have left.

    Returns
    -------
    list of Path
    """
    found = Path(tempfile.gettempdir()).glob(f".{OUTSIDE}.*")
    own = [path for path in found if OWNED.fullmatch(path.name) and path.lstat().st_uid == os.geteuid()]
    return sorted(path for path in own if why_abandoned(path))


def is_temporary(name: str) -> bool:
    """Return whether a name is that of a temporary file or folder.

    Parameters
    ----------
    name : str
        The last part of a path.

    Returns
    -------
    bool
        Also true for names that do not say whose they are.
    """
    return bool(OWNED.fullmatch(name) or UNOWNED.fullmatch(name))


def owner_of(name: str) -> Owner | None:
    """Return whose a temporary file or folder is.

    Parameters
    ----------
    name : str
        The last part of its path.

    Returns
    -------
    Owner or None
        None where the name does not say it.
    """
    match = OWNED.fullmatch(name)
    return Owner(match["host"], int(match["pid"]), match["start"]) if match else None


def why_abandoned(path: Path, *, nobody: bool = False) -> str:
    """Return why nobody uses a temporary file or folder any more.

    Parameters
    ----------
    path : Path
        Its name is a temporary one.
    nobody : bool
        Whether nobody works there, so that what does not say whose it is is nobody's.

    Returns
    -------
    str
        Empty where somebody may still use it.
    """
    owner = owner_of(path.name)
    if owner is not None and owner.is_here:
        return "its process is gone" if owner.is_dead else ""
    if owner is None and nobody:
        return "nobody works here"
    return "untouched for a day" if is_old(path) else ""


def is_old(path: Path) -> bool:
    """Return whether nobody has touched a file, or anything in a folder, for a day.

    Parameters
    ----------
    path : Path
        It may be gone already.

    Returns
    -------
    bool
        A symbolic link is not followed.
    """
    times = [0.0]
    for each in tree(path):
        with suppress(FileNotFoundError):
            times.append(each.lstat().st_mtime)
    return time.time() - max(times) > ABANDONED_SECONDS


def tree(path: Path) -> Iterator[Path]:
    """Yield a file or folder, and everything in it.

    Parameters
    ----------
    path : Path
        A symbolic link, here or inside, is yielded and not followed.

    Yields
    ------
    Path
        Some may be gone already.
    """
    yield path
    if path.is_symlink():
        return
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            yield Path(folder, name)


def sweep(folders: Iterable[Path], of: str = "", *, nobody: bool = False) -> None:
    """Remove what dead processes left in some folders; what cannot be removed stays, for `facelime clean` to name.

    Parameters
    ----------
    folders : iterable of Path
        Only what lies directly in them is looked at; one that is not there is passed over.
    of : str
        The name of the file that it was to become; by default any.
    nobody : bool
        Whether nobody works there, so that what does not say whose it is is nobody's.
    """
    for folder in folders:
        try:
            paths = list(folder.iterdir())
        except OSError:
            continue
        for path in paths:
            mine = is_temporary(path.name) and (not of or path.name.startswith(f".{of}."))
            if mine and why_abandoned(path, nobody=nobody):
                with suppress(OSError):
                    delete(path)


def delete(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; of a symbolic link only the link itself.

    Parameters
    ----------
    path : Path
        It may be gone already.

    Raises
    ------
    OSError
        When it cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def rename_or_lose(beside: Path, path: Path) -> None:
    """Rename a folder into place, unless another process has put its own there.

    Parameters
    ----------
    beside : Path
        From `beside`.
    path : Path
        Where it goes.

    Raises
    ------
    OSError
        When it cannot be renamed, and no other one is there.
    """
    try:
        beside.rename(path)
    except OSError:
        if not path.is_dir():
            raise


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


@cache
def _this_host() -> str:
    return _hash(this_host())


@cache
def _me(pid: int) -> Owner:
    # By the number of the process: a fork has another one.
    return Owner(_this_host(), pid, _start_of(pid))


def _start_of(pid: int) -> str:
    """Return the hash of a process's start; empty when it is not alive."""
    start = process_start(pid)
    return "" if start is None else _hash(start)
