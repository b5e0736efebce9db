"""Files that others made: only regular files are opened, since a pipe or a device can be waited for without end."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
"""What a path can be beside a regular file."""


class NotRegularError(OSError):
    """A path that leads to no regular file: a folder, a pipe, a socket or a device."""


def opened(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Parameters
    ----------
    path : Path
        Links are followed.

    Returns
    -------
    binary stream

    Raises
    ------
    NotRegularError
        When it is something else. Nothing is read from it, and nothing is waited for.
    OSError
        When it is not there, or may not be read.
    """
    # Opening a device can already do something, such as rewinding a tape, so it is not opened at all.
    _refuse(path.stat().st_mode, path)
    # Without O_NONBLOCK, a pipe that takes the file's place in between would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        _refuse(os.fstat(descriptor).st_mode, path)
    except NotRegularError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def reason_of(why: OSError) -> str:
    """Return why a file cannot be opened, in small letters.

    Parameters
    ----------
    why : OSError

    Returns
    -------
    str
    """
    return (why.strerror or type(why).__name__).lower()


def _refuse(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "no file")
        raise NotRegularError(errno.EINVAL, f"{kind}, not a regular file", str(path))
