"""SIGTERM and SIGINT become one exception in the main thread; light, so that it comes before anything else."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any

from facelime_cli.errors import EX_TEMPFAIL, CommandLineError, StopRequested

SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|)")
SPAN_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def obey_signals() -> None:
    """Raise `StopRequested` at the first signal; at the second, leave at once: everything committed is safe on disk."""
    asked = False

    def stop(number: int, _: Any) -> None:
        nonlocal asked
        if asked:
            os._exit(EX_TEMPFAIL)
        asked = True
        raise StopRequested(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def deadline(budget: str | None) -> float | None:
    """Return when a time budget ends that begins now, by the monotonic clock."""
    return None if budget is None else time.monotonic() + span(budget)


def span(text: str) -> float:
    """Return a time span such as 30m in seconds."""
    match = SPAN.fullmatch(text.strip())
    if not match:
        raise CommandLineError(f"--time-budget {text!r} should be a time such as 90s, 30m or 2h.")
    return float(match[1]) * SPAN_SECONDS[match[2]]
