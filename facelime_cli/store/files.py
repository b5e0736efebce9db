"""Files that are either whole or not there: temporary file, fsync, rename."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from facelime_cli import plain
from facelime_cli.errors import BrokenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

ABANDONED_SECONDS = 24 * 3600
"""From this age on, nobody is taken to work in a temporary folder any more."""


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk.

    Parameters
    ----------
    path : Path
        It must exist.
    """
    # A folder can only be opened for reading, which is enough to flush either.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _whole(path: Path, *, durable: bool) -> Iterator[BinaryIO]:
    """Open a file that a reader sees either complete or not at all."""
    # In the same folder, where a rename is one step; with a dot, so that no pattern takes it for a file of the store.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    # A rename lasts only once its folder is on the disk too.
    if durable:
        sync(path.parent)


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file whole.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    data : bytes
        Its content.
    durable : bool
        Wait for the disk. A heartbeat, whose loss costs nothing, does without.
    """
    with _whole(path, durable=durable) as stream:
        stream.write(data)


def write_first(path: Path, data: bytes, *, durable: bool = True) -> bool:
    """Write a file whole, unless another process was first.

    Parameters
    ----------
    path : Path
        The file; an existing one stays as it is.
    data : bytes
        Its content.
    durable : bool
        Wait for the disk.

    Returns
    -------
    bool
        Whether the file is this one.
    """
    if path.exists():
        return False
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write_whole(temporary, data, durable=durable)
        # A hard link never replaces a file, and appears with its content. A file that is opened and then written can be
        # read while it is empty.
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        sync(path.parent)
    return True


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file whole, row by row.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    rows : iterable of sequence
        The heading first; memory does not grow with their number. See `plain.cell` for what becomes of texts.
    """
    with _whole(path, durable=True) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        csv.writer(text, lineterminator="\n").writerows(plain.cells(rows))
        # Closing the text would close the stream, which is still to be flushed to the disk.
        text.detach()


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write a JSON file whole.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    value : JSON value
        Its content.
    durable : bool
        Wait for the disk.

    Raises
    ------
    ValueError
        When a number is NaN or infinite.
    """
    write_whole(path, json_bytes(value), durable=durable)


def json_bytes(value: Any) -> bytes:
    """Return the content of a JSON file.

    Parameters
    ----------
    value : JSON value
        What the file holds.

    Returns
    -------
    bytes
        UTF-8.

    Raises
    ------
    ValueError
        When a number is NaN or infinite.
    """
    # Indented, since people look into these files; readable in every script.
    return plain.json_text(value, indent=1).encode()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        The object.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    BrokenError
        When it holds anything else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as why:
        raise BrokenError(
            f"{path} is not readable JSON ({why}); restore it, or remove the artifact and make it again."
        ) from why
    if not isinstance(value, dict):
        raise BrokenError(f"{path} should hold a JSON object; restore it, or remove the artifact and make it again.")
    return value


def remove_old(folders: Iterable[Path]) -> None:
    """Delete folders that nobody has touched for a day.

    Parameters
    ----------
    folders : iterable of Path
        Temporary folders, whose process may be gone or still at work.
    """
    for path in folders:
        if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
