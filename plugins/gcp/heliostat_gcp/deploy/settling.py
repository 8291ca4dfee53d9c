"""New service accounts, which Google's services hear of one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

PATIENCE: Final = 90.0
"""Seconds that an account may take to be known everywhere; Google speaks of 60:
https://cloud.google.com/iam/docs/service-accounts-create."""
WAIT: Final = 3.0
"""Seconds between two tries."""


class Settling:
    """Does things again that were refused for the sake of an account that was made a moment ago."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._clocks: dict[str, float] = {}

    def made(self, email: str) -> None:
        self._clocks[email] = time.monotonic()

    def __call__(self, do: Callable[[], object]) -> None:
        """Raises errors of Google's libraries."""
        from google.api_core.exceptions import ClientError

        told = False
        while True:
            try:
                do()
            except ClientError as error:
                if (email := self._unknown(error)) is None:
                    raise
                if not told:
                    self._tell(f"waiting until {email} is known everywhere")
                    told = True
                time.sleep(WAIT)
            else:
                return

    def _unknown(self, error: Any) -> str | None:
        """The account that the error speaks of, if it is so new that it may not be known yet."""
        now = time.monotonic()
        return next(
            (email for email, made in self._clocks.items() if now - made < PATIENCE and email in str(error)), None
        )
