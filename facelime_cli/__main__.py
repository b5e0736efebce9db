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
        from facelime_cli.cli import app

        app()
    except StopRequested:
        sys.exit(EX_TEMPFAIL)


if __name__ == "__main__":
    main()
