"""The program `heliostat`: runs a command, and turns what it raises into one sentence and an exit status."""

from __future__ import annotations

import sys
from typing import NoReturn

from heliostat.cli import exit_status, faults


def run() -> NoReturn:
    """The entry point. Exit status: see `heliostat.cli.exit_status`."""
    from heliostat.cli.app import make_app

    try:
        make_app()()
    except Exception as error:
        faults.tell(error)
        sys.exit(exit_status.of_error(error))
    sys.exit(exit_status.DONE)
