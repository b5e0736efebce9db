"""Files that are either whole or not there: temporary file, fsync, rename."""

from __future__ import annotations

import csv
import io
import json
import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
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
    if durable:
        sync(path.parent)


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file whole.

    `durable` waits for the disk; a heartbeat, whose loss costs nothing, does without.
    """
    with _whole(path, durable=durable) as stream:
        stream.write(data)


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file whole, row by row, the heading as its first."""
    with _whole(path, durable=True) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        text.detach()


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write a JSON file whole."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode(), durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or say in one sentence that the file is broken."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as why:
        raise BrokenError(
            f"{path} is not readable JSON ({why}); restore it, or remove the artifact and make it again."
        ) from why
    if not isinstance(value, dict):
        raise BrokenError(f"{path} should hold a JSON object; restore it, or remove the artifact and make it again.")
    return value
