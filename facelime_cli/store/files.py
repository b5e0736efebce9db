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
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _whole(path: Path, *, durable: bool) -> Iterator[BinaryIO]:
    """Open a file that a reader sees either complete or not at all."""
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


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file whole, row by row.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    rows : iterable of sequence
        The heading first; memory does not grow with their number.
    """
    with _whole(path, durable=True) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
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
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, text.encode(), durable=durable)


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
