"""What the disk can refuse, in one sentence each; light, so that it costs no command anything."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE = "the store {root} is gone; connect its disk again and repeat the command, or choose another with --store."
GO_ON = "and repeat the command, what is done is kept"
SENTENCES = {
    errno.ENOSPC: f"the disk is full ({{place}}); make room {GO_ON}.",
    errno.EDQUOT: f"the disk quota is used up ({{place}}); delete what you do not need {GO_ON}.",
    errno.EFBIG: f"the file is too large for this disk or for `ulimit -f` ({{place}}); raise the limit {GO_ON}.",
    errno.EIO: f"the disk cannot be read or written ({{place}}: input/output error); check the disk {GO_ON}.",
    errno.EROFS: "{place} cannot be written (read-only file system); choose another store with --store.",
    errno.EMFILE: f"too many files are open ({{place}}); raise the limit (`ulimit -n`) {GO_ON}.",
    errno.ENAMETOOLONG: "{place} is too long for a file name; choose a shorter one.",
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        "{place} cannot be written or read ({reason}); change its permissions, or choose another store with --store.",
    ),
    **dict.fromkeys(
        (errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO),
        f"the disk is gone ({{place}}: {{reason}}); connect it again {GO_ON}.",
    ),
}
"""By error number: what is wrong, where, and what to do next."""
OTHERWISE = "{reason}: {place}; check the path and its permissions."
REFUSALS = frozenset(SENTENCES) - {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
"""Those that are about the disk, and never about a path that somebody gave."""
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
TOLD_IN_WORDS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE)
"""What libraries tell in words alone: HDF5, TensorFlow and ONNX raise errors of their own."""


def sentence(why: BaseException, root: Path) -> str | None:
    """Return what the disk refused, and what to do next.

    Parameters
    ----------
    why : BaseException
        Any error; what it was raised from counts too, since libraries put errors of their own around it.
    root : Path
        The store, named where the error does not say a place.

    Returns
    -------
    str or None
        One sentence; None when it was not the disk.
    """
    for each in _chain(why):
        number = _number(each)
        # What an error was raised from may be anything that a library tried first; only the disk's own refusals count.
        if number is None or (each is not why and number not in REFUSALS):
            continue
        place = Path(str(getattr(each, "filename", None) or root))
        if number == errno.ENOENT and not root.exists() and place.absolute().is_relative_to(root.absolute()):
            return GONE.format(root=root)
        reason = os.strerror(number).lower()
        return SENTENCES.get(number, OTHERWISE).format(place=place, reason=reason)
    return None


def _chain(why: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, as far as it goes."""
    seen: list[BaseException] = []
    each: BaseException | None = why
    while each is not None and all(each is not other for other in seen):
        yield each
        seen.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _number(why: BaseException) -> int | None:
    """Return the error number of the system, also from what a library says in words."""
    if isinstance(why, OSError) and why.errno:
        return why.errno
    # zarr finds no group, and tells no number.
    if isinstance(why, FileNotFoundError):
        return errno.ENOENT
    text = str(why)
    # NumPy, where the disk takes only a part of an array.
    if SHORT_WRITE.search(text):
        return errno.ENOSPC
    return next((number for number in TOLD_IN_WORDS if os.strerror(number) in text), None)
