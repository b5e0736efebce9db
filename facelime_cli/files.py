"""Files that are either whole or not there: temporary file, fsync, rename."""

from __future__ import annotations

import csv
import io
import json
import os
import uuid
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file that a reader sees either complete or not at all.

    `durable` waits for the disk; a heartbeat, whose loss costs nothing, does without.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        sync(path.parent)


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file whole, the heading as its first row."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    write_whole(path, stream.getvalue().encode())


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write a JSON file whole."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode(), durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or say in one sentence that the file is broken."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as why:
        raise BrokenError(f"{path} is not readable JSON ({why}); restore it, or remove the artifact and make it again.") from why
    if not isinstance(value, dict):
        raise BrokenError(f"{path} should hold a JSON object; restore it, or remove the artifact and make it again.")
    return value
