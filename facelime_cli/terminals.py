"""Which way of showing pictures a terminal has: that of Kitty, that of iTerm, Sixel, or none.

iTerm tells its name in the environment. The others are asked: a terminal answers what it can do, also through `ssh`.
"""

from __future__ import annotations

import os
import re
import select
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KITTY, ITERM, SIXEL = "kitty", "iterm", "sixel"
NAMED_ITERM = {"TERM_PROGRAM": {"iTerm.app", "WezTerm"}, "LC_TERMINAL": {"iTerm2"}}
"""Variables by which terminals say that they show pictures as iTerm does."""
MULTIPLEXERS = ("TMUX", "STY")
"""Variables of programs that stand between, which hand on no picture of Kitty or iTerm."""
QUESTION = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
"""Would you show a picture of one pixel, as Kitty does? What are you? Every terminal answers the second."""
KITTY_SAYS_YES = re.compile(rb"\x1b_Gi=31;OK\x1b\\")
WHAT_IT_IS = re.compile(rb"\x1b\[\?([\d;]*)c")
"""The primary device attributes; 4 among them stands for Sixel (DEC, VT340)."""
HAS_SIXEL = b"4"
SECONDS = 0.5
"""How long an answer is waited for, over a slow line too."""


def protocol(stream: TextIO, environment: Mapping[str, str] | None = None) -> str | None:
    """Return how the terminal behind a stream shows pictures.

    Parameters
    ----------
    stream : text stream
        Where the picture would go.
    environment : mapping, optional
        By default that of the process.

    Returns
    -------
    str or None
        `KITTY`, `ITERM`, `SIXEL`, or None: it shows none, or is no terminal.
    """
    environment = os.environ if environment is None else environment
    if not stream.isatty() or environment.get("TERM", "dumb") == "dumb":
        return None
    between = any(environment.get(name) for name in MULTIPLEXERS)
    if not between and any(environment.get(name) in values for name, values in NAMED_ITERM.items()):
        return ITERM
    answer = _asked()
    if KITTY_SAYS_YES.search(answer) and not between:
        return KITTY
    is_what = WHAT_IT_IS.search(answer)
    return SIXEL if is_what and HAS_SIXEL in is_what[1].split(b";") else None


def _asked() -> bytes:
    """Return what the terminal of this process answers; nothing where there is none, or it is not ours to ask."""
    answer = b""
    # Whatever is wrong with the terminal, the picture is drawn in letters then.
    with suppress(OSError), _own_terminal() as terminal:
        os.write(terminal, QUESTION)
        until = time.monotonic() + SECONDS
        while not WHAT_IT_IS.search(answer):
            left = until - time.monotonic()
            if left <= 0 or not select.select([terminal], [], [], left)[0]:
                break
            answer += os.read(terminal, 1024)
    return answer


@contextmanager
def _own_terminal() -> Iterator[int]:
    """Yield the terminal of this process, which meanwhile shows nothing of what is answered and waits for no line."""
    try:
        import termios
        import tty
    except ImportError as why:  # Windows
        raise OSError("no terminal to ask") from why
    terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        # A process in the background would be stopped.
        if os.tcgetpgrp(terminal) != os.getpgrp():
            raise OSError("in the background")
        before = termios.tcgetattr(terminal)
        tty.setcbreak(terminal)
        try:
            yield terminal
        finally:
            # An answer that comes too late is no line for the shell.
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
    finally:
        os.close(terminal)
