"""Numbers, durations and paths as a person reads them."""

from __future__ import annotations

import os
from pathlib import Path


def clock(seconds: float) -> str:
    """`0:05`, `12:34`, `1:02:03`."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def took(seconds: float) -> str:
    """`4.2 s`, or as a clock shows it above a minute."""
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def rate(frames_per_second: float) -> str:
    digits = 0 if frames_per_second >= 100 else 1 if frames_per_second >= 1 else 2
    return f"{frames_per_second:,.{digits}f} frames/s"


def count(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def seen_from_here(path: str, job_dir: str | None) -> str:
    """A path relative to the job directory, as one relative to the current directory where that is shorter."""
    try:
        absolute = os.path.normpath(Path(job_dir or ".").absolute() / path)
        relative = os.path.relpath(absolute)
    except OSError:  # the current directory is gone
        return path
    return relative if len(relative) < len(absolute) else absolute
