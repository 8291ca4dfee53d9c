"""Long-running operations of Cloud Run, followed to their end."""

from __future__ import annotations

import time
from typing import Any, Final

POLL: Final = 1.0
"""Seconds between two looks."""
PATIENCE: Final = 120.0
"""Seconds for which looks may fail before that is taken for a failure of the operation."""


def follow(operation: Any) -> None:
    """Raises the error in which the operation ends, as one of google.api_core's."""
    from google.api_core.retry import Retry

    while not operation.done(retry=Retry(initial=POLL, timeout=PATIENCE)):
        time.sleep(POLL)
    if (error := operation.exception()) is not None:
        raise error
