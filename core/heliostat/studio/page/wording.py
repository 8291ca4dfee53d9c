"""Numbers, times and states as a person reads them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from heliostat import JobState, Wish

if TYPE_CHECKING:
    from heliostat import JobStatus

UNKNOWN: Final = "–"

_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "min"))
_ASKED: Final = {Wish.PAUSE: "pausing", Wish.CANCEL: "cancelling"}


def clock(seconds: float | None) -> str:
    """`0:05`, `12:34`, `1:02:03`."""
    if seconds is None:
        return UNKNOWN
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def took(seconds: float) -> str:
    """`4.2 s`, or as a clock shows it above a minute."""
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def rate(frames_per_second: float | None) -> str:
    """`18.2 frames/s`."""
    return UNKNOWN if frames_per_second is None else f"{speed(frames_per_second)} frames/s"


def speed(frames_per_second: float | None) -> str:
    """Without the unit."""
    if frames_per_second is None:
        return UNKNOWN
    digits = 0 if frames_per_second >= 100 else 1 if frames_per_second >= 1 else 2
    return f"{frames_per_second:,.{digits}f}"


def cost(usd: float) -> str:
    """In US dollars, with as many digits as tell something; nothing for nothing."""
    if not usd:
        return UNKNOWN
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.4f}"


def age(time: datetime, now: datetime) -> str:
    """`3 min ago`."""
    seconds = (now - time).total_seconds()
    for span, unit in _SPANS:
        if seconds >= span:
            return f"{int(seconds / span)} {unit} ago"
    return "just now"


def count(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def size(number: int) -> str:
    """Bytes, in units of 1,000."""
    amount = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:,.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:.1f} {unit}"


def state(status: JobStatus) -> str:
    """In one word: the state, or what is about to change it."""
    if status.orphaned:
        return "orphaned"
    if status.state is JobState.RUNNING and status.wish is not None:
        return _ASKED[status.wish]
    return str(status.state)
