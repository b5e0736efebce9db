"""SIGTERM and SIGINT become one exception in the main thread; light, so that it comes before anything else."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import EX_TEMPFAIL, CommandLineError, StopRequested

if TYPE_CHECKING:
    from collections.abc import Callable

SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|)")
LONGEST_SPAN = 12
"""Characters of a time span."""
SPAN_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def obey_signals() -> None:
    """Raise `StopRequested` at the first signal; at the second, leave at once: everything committed is safe on disk."""
    asked = False

    # An exception in the main thread unwinds what is open: claims are given back, and files are closed.
    def stop(number: int, _: Any) -> None:
        nonlocal asked
        # Who asks twice does not want to wait for the clean way.
        if asked:
            os._exit(EX_TEMPFAIL)
        asked = True
        raise StopRequested(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


BESIDE = "beside"
"""Name of threads that nothing can stop."""


def begin_beside(call: Callable[[], None]) -> None:
    """Make a call in a thread, for what nobody waits for, such as an import; a command that is stopped leaves it.

    Parameters
    ----------
    call : callable
        It raises nothing.
    """
    threading.Thread(target=call, name=BESIDE).start()


def busy_beside() -> bool:
    """Tell whether such a call still runs.

    Returns
    -------
    bool
    """
    return any(each.name == BESIDE for each in threading.enumerate())


def deadline(budget: str | None) -> float | None:
    """Return when a time budget ends that begins now.

    Parameters
    ----------
    budget : str, optional
        As it is typed, such as 30m.

    Returns
    -------
    float or None
        By the monotonic clock, in seconds.

    Raises
    ------
    CommandLineError
        When it is no time span.
    """
    return None if budget is None else time.monotonic() + span(budget)


def span(text: str) -> float:
    """Return a time span in seconds.

    Parameters
    ----------
    text : str
        A number and s, m, h or d, such as 30m; a number alone counts seconds.

    Returns
    -------
    float

    Raises
    ------
    CommandLineError
        When it has another form.
    """
    match = SPAN.fullmatch(text.strip())
    # A float of so many digits would be infinite, or a date that no clock reaches.
    if not match or len(text) > LONGEST_SPAN:
        raise CommandLineError(f"--time-budget {text!r} should be a time such as 90s, 30m or 2h.")
    return float(match[1]) * SPAN_SECONDS[match[2]]
