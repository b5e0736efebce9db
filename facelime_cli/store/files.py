"""Files that are either whole or not there: temporary file, fsync, rename."""

from __future__ import annotations

import csv
import io
import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError
from facelime_cli.store import temporary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray


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
def replacing(path: Path, *, ending: str = "", durable: bool = True) -> Iterator[Path]:
    """Hand out a private file that becomes another one at the end; a reader sees that one as it was, or complete.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    ending : str
        For writers that choose a format by it, such as `.png`.
    durable : bool
        Wait for the disk.

    Yields
    ------
    Path
        An empty file beside it, to write. What fails leaves neither of the two changed.

    Raises
    ------
    OSError
        It names `path`, not the file beside it.
    """
    beside = temporary.beside(path, ending)
    try:
        # Nobody else may read it meanwhile, whatever the umask is.
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield beside
        if durable:
            sync(beside)
        beside.replace(path)
        # A rename lasts only once its folder is on the disk too.
        if durable:
            sync(path.parent)
    except OSError as why:
        _say_of(why, path, beside)
        raise
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _say_of(why: OSError, path: Path, beside: Path) -> None:
    """Let an error name a file: a write or a flush tells no name, and a temporary one tells a person nothing."""
    if why.errno is not None and why.filename in {None, str(beside)}:
        why.filename, why.filename2 = str(path), None


@contextmanager
def _whole(path: Path, *, durable: bool) -> Iterator[BinaryIO]:
    """Open a file that a reader sees either complete or not at all."""
    with replacing(path, durable=durable) as beside, beside.open("wb") as stream:
        yield stream


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
    beside = temporary.beside(path)
    try:
        write_whole(beside, data, durable=durable)
        # A hard link never replaces a file, and appears with its content. A file that is opened and then written can be
        # read while it is empty.
        os.link(beside, path)
    except FileExistsError:
        return False
    except OSError as why:
        _say_of(why, path, beside)
        raise
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
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
        The heading first; memory does not grow with their number.
    """
    with _whole(path, durable=True) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        # Closing the text would close the stream, which is still to be flushed to the disk.
        text.detach()


def write_array(path: Path, values: NDArray[Any]) -> None:
    """Write a NumPy file whole.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    values : array
        Its content.
    """
    import numpy as np

    # NumPy's own writing into a file tells no reason when the disk takes only a part.
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    write_whole(path, stream.getvalue())


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
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()


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
