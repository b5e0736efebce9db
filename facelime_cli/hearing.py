"""What libraries say: their warnings go to the log of a shard, and on the terminal only with --debug."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Say = Callable[[str, str], None]
    """Takes a library's name and what it says."""

MOST_KEPT = 100
"""Different texts that one listener passes on: a library that says something new of every picture fills no log."""
READS_FILES = frozenset({"pydicom", "PIL", "tifffile"})
"""Libraries whose texts may quote what stands in a picture's header: a patient's name, or a place."""
QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
ABSOLUTE = re.compile(r"(?:/|\b[A-Za-z]:\\)[^\s'\",;:()]*[/\\]")
"""The folders of an absolute path."""
FIRST_LETTERS = 300


class Listener(logging.Handler):
    """Passes on each text once.

    Parameters
    ----------
    say : callable
    """

    def __init__(self, say: Say) -> None:
        super().__init__(logging.WARNING)
        self._say, self._heard = say, set[tuple[str, str]]()

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # a library's own mistake
            text = str(record.msg)
        heard = (record.name, text)
        if heard in self._heard or len(self._heard) >= MOST_KEPT:
            return
        self._heard.add(heard)
        # A log that cannot be written stops no work.
        with contextlib.suppress(OSError):
            self._say(*heard)


def withheld(library: str, text: str) -> str:
    """Return what a log may keep of a library's text: no name, no identifier and no folder of the user's.

    Parameters
    ----------
    library : str
        Who says it.
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> withheld("keras", "cannot read '/home/a/b.h5' in /home/a/c.h5")
    "cannot read '…' in c.h5"
    >>> withheld("pydicom", "Invalid value for VR PN: Doe")
    'a text that may quote a picture'
    """
    if library.partition(".")[0] in READS_FILES or "pydicom" in text:
        return "a text that may quote a picture"
    first = text.strip().partition("\n")[0][:FIRST_LETTERS]
    return ABSOLUTE.sub("", QUOTED.sub("'…'", first))


@contextlib.contextmanager
def heard_by(say: Say | None) -> Iterator[None]:
    """Let a listener hear what libraries say; where nobody else listens, nothing reaches the terminal.

    Parameters
    ----------
    say : callable, optional
        None hears everything and says nothing.

    Yields
    ------
    None
    """
    root = logging.getLogger()
    # With a handler here, neither Python nor a library puts one that writes to the terminal.
    listener: logging.Handler = logging.NullHandler() if say is None else Listener(say)
    root.addHandler(listener)
    before, warnings.showwarning = warnings.showwarning, _show_warning
    try:
        yield
    finally:
        warnings.showwarning = before
        root.removeHandler(listener)


def repeat(library: str, text: str) -> None:
    """Say once more what a library said in another process.

    Parameters
    ----------
    library : str
    text : str
    """
    logging.getLogger(library).warning("%s", text)


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any
) -> None:
    """Take Python's own warnings for records of the library that gave them."""
    del lineno
    logging.getLogger(_library(filename)).warning("%s: %s", category.__name__, message)


def _library(filename: str) -> str:
    """Return the package that a source file belongs to."""
    parts = Path(filename).parts
    if "site-packages" in parts[:-1]:
        return Path(parts[parts.index("site-packages") + 1]).stem
    return "facelime_cli" if "facelime_cli" in parts else Path(filename).stem
