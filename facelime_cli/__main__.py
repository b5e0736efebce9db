"""`facelime`, and `python -m facelime_cli`."""

import os
import sys

from facelime_cli.errors import EX_TEMPFAIL, StopRequested
from facelime_cli.stopping import obey_signals


def main() -> None:
    """Run the command line; a signal counts from the first moment."""
    try:
        obey_signals()
        os.umask(0o077)
        # A terminal of another encoding shows what it cannot write as an escape; it is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        from facelime_cli.cli import app

        app()
    except StopRequested:
        sys.exit(EX_TEMPFAIL)


if __name__ == "__main__":
    main()
