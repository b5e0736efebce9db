"""`facelime`, and `python -m facelime_cli`."""

import contextlib
import os
import sys

from facelime_cli.errors import EX_TEMPFAIL, StopRequested
from facelime_cli.stopping import obey_signals


def _open_streams() -> None:
    """Open those of the three standard streams that are closed: else the first files would get their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest number that is free is this one.
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def main() -> None:
    """Run the command line; a signal counts from the first moment."""
    try:
        obey_signals()
        os.umask(0o077)
        _open_streams()
        # A terminal of another encoding shows what it cannot write as an escape; it is no reason to fail.
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        from facelime_cli.cli import app

        app()
    except StopRequested:
        _leave()
    except SystemExit as why:
        if why.code == EX_TEMPFAIL:
            _leave()
        raise


def _leave() -> None:
    """End at once: at the end of Python its handlers are gone, and the same signal once more would kill the process."""
    for stream in (sys.stdout, sys.stderr):
        # Nobody may be left to read it.
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(EX_TEMPFAIL)


if __name__ == "__main__":
    main()
