"""SIGTERM and SIGINT become one exception in the main thread; light, so that it can be set up before anything else is imported."""

from __future__ import annotations

import os
import signal
from typing import Any

from facelime_cli.errors import EX_TEMPFAIL, StopRequested


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
