"""What a user trusts to run: contents of models that carry code, kept in a file of the user's outside every store."""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.machine import state_folder
from facelime_cli.store.files import json_bytes, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILE, LOCK = "trust.json", "trust.lock"
SCHEMA = 1
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
DIGEST = re.compile(r"[0-9a-f]{64}")
MOST_BYTES = 16 << 20
"""Room for some fifty thousand entries; a larger file is none of ours."""


@dataclass(frozen=True)
class Entry:
    """One content that may run.

    Attributes
    ----------
    digest : str
        Of the bytes that run.
    kind : str
        What kind of code they are.
    name : str
        What they were called when they were trusted.
    added : str
        When that was, in UTC (ISO 8601).
    """

    digest: str
    kind: str
    name: str
    added: str


def entries() -> list[Entry]:
    """Return all that this user trusts, the oldest first.

    Returns
    -------
    list of Entry

    Raises
    ------
    BrokenError
        Where the file is damaged, or others could have written it: then nothing of it counts.
    """
    place = state_folder()
    with _sentences(place):
        try:
            _check_own(place, place.stat())
            # A named pipe would be waited for.
            descriptor = os.open(place / FILE, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return []
        with os.fdopen(descriptor, "rb") as stream:
            about = os.fstat(descriptor)
            _check_own(place / FILE, about)
            if not stat.S_ISREG(about.st_mode) or about.st_size > MOST_BYTES:
                raise _damaged(place / FILE)
            return _read(place / FILE, stream.read())


def is_trusted(kind: str, digest: str) -> bool:
    """Tell whether this user trusts a content.

    Parameters
    ----------
    kind, digest : str
        As they were added.

    Returns
    -------
    bool

    Raises
    ------
    BrokenError
        As `entries`.
    """
    return any((each.kind, each.digest) == (kind, digest) for each in entries())


def add(kind: str, digest: str, name: str) -> None:
    """Keep that this user trusts a content, on this machine, until it is removed.

    Parameters
    ----------
    kind : str
        What kind of code it is.
    digest : str
        Of the bytes that run.
    name : str
        What to call it in lists.

    Raises
    ------
    FacelimeError
        Where the file cannot be written, or cannot be relied on.
    """
    from facelime_cli.store.manifests import now

    new = Entry(digest, kind, name, now())

    def added(known: list[Entry]) -> list[Entry]:
        there = any((each.kind, each.digest) == (kind, digest) for each in known)
        return known if there else [*known, new]

    _change(added)


def remove(digest: str) -> None:
    """Forget that this user trusts a content.

    Parameters
    ----------
    digest : str
        One that is trusted, or not.

    Raises
    ------
    FacelimeError
        As `add`.
    """
    _change(lambda known: [each for each in known if each.digest != digest])


def _change(change: Callable[[list[Entry]], list[Entry]]) -> None:
    """Replace the file; of two processes at once, one waits for the other."""
    place = state_folder()
    with _sentences(place):
        place.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        with os.fdopen(os.open(place / LOCK, os.O_RDWR | os.O_CREAT, PRIVATE_FILE), "wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            before = entries()
            after = change(before)
            if after != before:
                value = {"schema": SCHEMA, "trusted": [asdict(each) for each in after]}
                write_whole(place / FILE, json_bytes(value), mode=PRIVATE_FILE)


@contextmanager
def _sentences(place: Path) -> Iterator[None]:
    """Turn what the system refuses into a sentence: the path is none that the user has typed."""
    try:
        yield
    except OSError as why:
        raise FacelimeError(
            f"what you trust is kept in {place}, which cannot be used ({(why.strerror or str(why)).lower()}); "
            "make it a folder of yours with room in it, or set XDG_STATE_HOME to another one."
        ) from why


def _check_own(path: Path, about: os.stat_result) -> None:
    """Raise where somebody else could have written what is read."""
    if about.st_uid != os.geteuid() or about.st_mode & OTHERS_WRITE:
        raise BrokenError(
            f"{path} is not yours alone, so nothing in it counts as trusted; "
            f"move it away, or run `chmod go-w {path}` if it is yours."
        )


def _damaged(path: Path) -> BrokenError:
    return BrokenError(
        f"{path} is damaged, so nothing in it counts as trusted; "
        "move it away, and trust your models again with `facelime trust add`."
    )


def _read(path: Path, content: bytes) -> list[Entry]:
    value: Any = None
    # Deep nesting is as little ours as no JSON at all.
    with suppress(ValueError, RecursionError):
        value = json.loads(content)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA or not isinstance(value.get("trusted"), list):
        raise _damaged(path)
    try:
        found = [Entry(**each) for each in value["trusted"]]
    except TypeError as why:
        raise _damaged(path) from why
    for each in found:
        if not all(isinstance(text, str) for text in vars(each).values()) or not DIGEST.fullmatch(each.digest):
            raise _damaged(path)
    return found
