"""Files that are either whole or not there: temporary file, fsync, rename."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from facelime_cli import plain
from facelime_cli.core.opening import NotRegularError, opened
from facelime_cli.errors import BrokenError, first_line
from facelime_cli.store import forms, temporary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray
USUAL, PRIVATE = 0o666, 0o600
"""Modes of a new file: what the umask leaves to others, and its owner's alone."""
MOST_BYTES = 256 << 20
"""The largest JSON file that is read; the manifest of 100,000 pictures has a few MiB."""


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
def replacing(path: Path, *, ending: str = "", durable: bool = True, mode: int = USUAL) -> Iterator[Path]:
    """Hand out a file that becomes another one at the end; a reader sees that one as it was, or complete.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    ending : str
        For writers that choose a format by it, such as `.png`.
    durable : bool
        Wait for the disk.
    mode : int
        Mode of the file, before the umask. It counts from the first moment: what is closed later was open for a while.

    Yields
    ------
    Path
        An empty file beside it, to write. What fails leaves neither of the two changed.

    Raises
    ------
    OSError
        It names `path`, not the file beside it.
    """
    with _in_place_of(path, ending, durable=durable) as beside:
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield beside
        if durable:
            sync(beside)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Hand out a folder that becomes another one at the end, for its owner alone.

    Parameters
    ----------
    path : Path
        The folder; an existing one is replaced with all that it holds.

    Yields
    ------
    Path
        An empty folder beside it, to fill. What fails leaves neither of the two changed.

    Raises
    ------
    OSError
        It names `path`, not the folder beside it.
    """
    beside, before = temporary.beside(path), temporary.beside(path)
    try:
        beside.mkdir(mode=0o700)
        yield beside
        for written in beside.iterdir():
            sync(written)
        sync(beside)
        if path.exists():
            path.rename(before)
        beside.rename(path)
        sync(path.parent)
    except OSError as why:
        if why.errno is not None:
            why.filename, why.filename2 = str(path), None
        raise
    finally:
        if before.exists() and not path.exists():
            before.rename(path)
        for left in (beside, before):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _in_place_of(path: Path, ending: str = "", *, durable: bool) -> Iterator[Path]:
    """Yield a name beside a file; what is written there replaces the file, and what fails leaves nothing."""
    beside = temporary.beside(path, ending)
    try:
        yield beside
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
def _whole(path: Path, *, durable: bool, mode: int = USUAL) -> Iterator[BinaryIO]:
    """Open a file that a reader sees either complete or not at all.

    It is opened once, and flushed while it is open: on a shared file system every opening is a message to its server.
    """
    with (
        _in_place_of(path, durable=durable) as beside,
        os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as stream,
    ):
        yield stream
        if durable:
            stream.flush()
            os.fsync(stream.fileno())


def write_whole(path: Path, data: bytes, *, durable: bool = True, mode: int = USUAL) -> None:
    """Write a file whole.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    data : bytes
        Its content.
    durable : bool
        Wait for the disk. A heartbeat, whose loss costs nothing, does without.
    mode : int
        Who may read and write it, less what the process' umask takes.
    """
    with _whole(path, durable=durable, mode=mode) as stream:
        stream.write(data)


def write_first(path: Path, data: bytes, *, durable: bool = True, mode: int = USUAL) -> bool:
    """Write a file whole, unless another process was first.

    Parameters
    ----------
    path : Path
        The file; an existing one stays as it is.
    data : bytes
        Its content.
    durable : bool
        Wait for the disk.
    mode : int
        As in `write_whole`.

    Returns
    -------
    bool
        Whether the file is this one.
    """
    if path.exists():
        return False
    beside = temporary.beside(path)
    try:
        write_whole(beside, data, durable=durable, mode=mode)
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
        The heading first; memory does not grow with their number. See `plain.cell` for what becomes of texts.
    """
    with _whole(path, durable=True) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        csv.writer(text, lineterminator="\n").writerows(plain.cells(rows))
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
        value = json.loads(read_small(path), parse_constant=_refuse_constant)
        forms.check_depth(value)
    except (ValueError, RecursionError) as why:
        reason = "it is nested too deep" if isinstance(why, RecursionError) else first_line(why)
        raise BrokenError(
            f"{path} is not readable JSON ({reason}); restore it, or remove the artifact and make it again."
        ) from why
    if not isinstance(value, dict):
        raise BrokenError(f"{path} should hold a JSON object; restore it, or remove the artifact and make it again.")
    return value


def _refuse_constant(text: str) -> None:
    raise forms.FormError(f"holds the number {text}")


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file or a folder from another one that takes its place.

    Parameters
    ----------
    path : Path
        Links are followed.

    Returns
    -------
    tuple of int, int, or None
        Device and number on it; None when nothing is there.
    """
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_dev, known.st_ino


def read_small(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of a small file of a store: a regular one, no link, and no larger than expected.

    Parameters
    ----------
    path : Path
        The file.
    most : int
        Bytes that it may have.

    Returns
    -------
    bytes

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    BrokenError
        When it is something else than a file, or too large.
    """
    refuse_link(path)
    try:
        stream = opened(path)
    except NotRegularError as why:
        raise BrokenError(f"{path} is {why.strerror}; remove it, or restore the file.") from why
    with stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise BrokenError(f"{path} has {size} bytes, more than the {most} it may have; remove it, or restore it.")
        return stream.read(most + 1)


def inside(folder: Path, name: str) -> Path:
    """Return a path below a folder, when nothing on the way leads out of it.

    Parameters
    ----------
    folder : Path
        The folder of an artifact.
    name : str
        Path below it, with `/` between folders; it may come out of a file of the store.

    Returns
    -------
    Path
        It need not exist.

    Raises
    ------
    BrokenError
        When the name is not relative, or when a part of the path is a link.
    """
    if not forms.relative_name(name):
        raise BrokenError(f"{name!r} cannot be a file of {folder.name}; remove that artifact and make it again.")
    path = folder
    for part in name.split("/"):
        path /= part
        refuse_link(path)
    return path


def refuse_link(path: Path) -> None:
    """Raise for a link: what is read or written through it lies elsewhere.

    Parameters
    ----------
    path : Path
        It need not exist.

    Raises
    ------
    BrokenError
    """
    if path.is_symlink():
        raise BrokenError(
            f"{path} is a link, which no file or folder of a store may be; put what it points to in its place."
        )


def write_secret(path: Path, data: bytes) -> bytes:
    """Write a file that its owner alone can read, unless another process was first.

    Parameters
    ----------
    path : Path
        The file; an existing one stays as it is.
    data : bytes
        Its content.

    Returns
    -------
    bytes
        What the file holds now.
    """
    try:
        write_first(path, data, mode=PRIVATE)
    except OSError:  # A file system without hard links, such as exFAT: the last of the two decides.
        write_whole(path, data, mode=PRIVATE)
    return path.read_bytes()


def close_to_others(path: Path) -> bool:
    """Take the rights of everybody but the owner from a file.

    Parameters
    ----------
    path : Path
        It must exist.

    Returns
    -------
    bool
        Whether others had rights; False for a file of another user, which stays as it is.
    """
    found = path.stat()
    if found.st_uid != os.geteuid() or not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return False
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return True
