"""Whether this machine's clock agrees with Google's, of whose time each answer tells. Tokens are good for a time."""

from __future__ import annotations

import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from heliostat.errors import Misconfigured

BORNE: Final = 60.0
"""Seconds by which the two may differ before a refusal is laid to that."""
SET_IT: Final = "set this machine's clock right, such as with NTP"


class WrongClock(Misconfigured):
    """Google refuses what bears this machine's time."""


def seconds_behind(date: str | None) -> float:
    """By how many seconds this machine's clock is behind that of an answer which has just come with this Date header;
    0 where it has none."""
    try:
        told = parsedate_to_datetime(date or "")
    except ValueError:
        return 0.0
    return told.replace(tzinfo=UTC).timestamp() - time.time()


def how_wrong(behind: float) -> str:
    """Such as `this machine's clock is 20 min behind Google's`."""
    return f"this machine's clock is {abs(behind) / 60:.0f} min {'behind' if behind > 0 else 'ahead of'} Google's"


def is_about_time(error: Exception) -> bool:
    """Whether Google refuses an assertion that this machine has signed for the time in it; it then says that tokens
    have to be `in a reasonable timeframe`."""
    return "reasonable timeframe" in str(error)
