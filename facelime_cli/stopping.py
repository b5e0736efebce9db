"""SIGTERM and SIGINT become one exception in the main thread; light, so that it comes before anything else."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import EX_TEMPFAIL, CommandLineError, StopRequested

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STOPS = (signal.SIGTERM, signal.SIGINT)
AGAIN_SECONDS = 1.0
"""A second signal within this time is the first one: `timeout`, a terminal and some schedulers send it to the process
and to its whole group."""
LEAVE_SECONDS = 8.0
"""How long a command that was asked to stop may take to end by itself. A scheduler may kill it soon after."""
SAY_SECONDS = 0.5
JOB_END = "SLURM_JOB_END_TIME"
"""Where Slurm says when the job's time is up: seconds since 1970."""
BEFORE_JOB_END = 60.0
"""Seconds before that at which a time budget ends: for the batch in work, and for giving claims back."""
SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|)")
LONGEST_JOB_SECONDS = 366 * 86400
"""Without a limit Slurm names a time that is years away."""
LONGEST_SPAN = 12
"""Characters of a time span."""
SPAN_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def obey_signals() -> None:
    """Raise `StopRequested` at the first signal; at the second, leave at once: everything committed is safe on disk."""
    asked: float | None = None

    # An exception in the main thread unwinds what is open: claims are given back, and files are closed.
    def stop(number: int, _: Any) -> None:
        nonlocal asked
        if asked is None:
            asked = time.monotonic()
            raise StopRequested(signal.Signals(number).name)
        # Who asks twice does not want to wait for the clean way.
        if time.monotonic() - asked >= AGAIN_SECONDS:
            os._exit(EX_TEMPFAIL)

    for number in STOPS:
        signal.signal(number, stop)


def ignore_signals() -> None:
    """Let a command that has stopped end with its own code: while Python ends, one more signal would kill it."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let a signal wait for the end of something short that must not be left half done.

    Yields
    ------
    None
    """
    # No other thread is interrupted.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        first = before[signal.Signals(came[0])] if came else None
        if callable(first):
            first(came[0], None)


@contextlib.contextmanager
def leaving_in_time(say: Callable[[], None]) -> Iterator[None]:
    """End the process some seconds after a signal, where the main thread has not ended it by then.

    Python calls a handler only between two steps of the main thread. A call of a library may take minutes, and some
    libraries swallow what a handler raises. Everything that was committed is safe on disk.

    Parameters
    ----------
    say : callable
        Is called before the process ends so.

    Yields
    ------
    None
    """
    # Python tells nobody else of signals.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked, told = os.pipe()
    os.set_blocking(told, False)
    before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    watching = threading.Thread(target=_leave_when_asked, args=(asked, say), daemon=True)
    watching.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        # The thread reads the end of the pipe, unless a signal came: then it watches until the process has ended.
        os.close(told)


def _leave_when_asked(asked: int, say: Callable[[], None]) -> None:
    """Wait for one of the signals that stop, and end the process after it; return when none can come any more."""
    with os.fdopen(asked, "rb", buffering=0) as numbers:
        while number := numbers.read(1):
            if number[0] in STOPS:
                # The system may have told another thread, as it does where the main one was suspended: the main thread
                # would sleep on.
                signal.pthread_kill(threading.main_thread().ident or 0, number[0])
                time.sleep(LEAVE_SECONDS)
                # Whoever reads what is said may hang too.
                saying = threading.Thread(target=say, daemon=True)
                saying.start()
                saying.join(SAY_SECONDS)
                os._exit(EX_TEMPFAIL)


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
    """Return when a time budget ends that begins now: with its time, or a minute before the end of a Slurm job.

    Parameters
    ----------
    budget : str, optional
        As it is typed, such as 30m.

    Returns
    -------
    float or None
        By the monotonic clock, in seconds; None where nothing ends it.

    Raises
    ------
    CommandLineError
        When it is no time span.
    """
    left = [] if budget is None else [span(budget)]
    of_job = job_seconds()
    if of_job is not None:
        left.append(max(0.0, of_job - BEFORE_JOB_END))
    return time.monotonic() + min(left) if left else None


def job_seconds() -> float | None:
    """Return how many seconds a Slurm job still has.

    Returns
    -------
    float or None
        None outside a job, in one without a limit, and where its time is over: then the variable is of another job.
    """
    text = os.environ.get(JOB_END, "")
    # Slurm writes so many digits; more would be no time.
    if not re.fullmatch(r"\d{1,12}", text):
        return None
    left = int(text) - time.time()
    return left if 0 < left < LONGEST_JOB_SECONDS else None


def span(text: str, option: str = "--time-budget", like: str = "90s, 30m or 2h") -> float:
    """Return a time span in seconds.

    Parameters
    ----------
    text : str
        A number and s, m, h or d, such as 30m; a number alone counts seconds.
    option, like : str
        The option that it was typed for, and what it could be, for the message.

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
        raise CommandLineError(f"{option} {text!r} should be a time such as {like}.")
    return float(match[1]) * SPAN_SECONDS[match[2]]
