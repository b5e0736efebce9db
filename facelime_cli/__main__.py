"""`facelime`, and `python -m facelime_cli`."""

import os
import sys

from facelime_cli.errors import EX_TEMPFAIL, StopRequested
from facelime_cli.stopping import ignore_signals, obey_signals

COMPLETE = "_FACELIME_COMPLETE"
"""The variable of the environment with which the script of a shell asks for words."""


def _open_streams() -> None:
    """Open those of the three standard streams that are closed: else the first files would get their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest number that is free is this one.
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def main() -> None:
    """Run the command line; a signal counts from the first moment."""
    if COMPLETE in os.environ:
        # A shell waits for it at every Tab, so that nothing else is loaded.
        from facelime_cli import completing

        completing.main()
        return
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
        ignore_signals()
        sys.exit(EX_TEMPFAIL)
    except SystemExit as why:
        if why.code == EX_TEMPFAIL:
            ignore_signals()
        raise


if __name__ == "__main__":
    main()
