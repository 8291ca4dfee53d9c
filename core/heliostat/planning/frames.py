"""Frame numbers: ranges as people write them, and their balanced cutting into chunks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

_RANGE = re.compile(r"(\d+)(?:\s*-\s*(\d+)(?:\s*:\s*(\d+))?)?", re.ASCII)

LARGEST = 10**15
"""Frame numbers and counts stay below this, where every number that a program may make of them is still exact."""


class Run(Struct, frozen=True, gc=False):
    """`count` frames: `start`, `start + step`, …"""

    start: int
    count: int
    step: int = 1

    @property
    def end(self) -> int:
        """The last frame."""
        return self.start + (self.count - 1) * self.step

    def __str__(self) -> str:
        if self.count == 1:
            return str(self.start)
        return f"{self.start}-{self.end}" + (f":{self.step}" if self.step != 1 else "")


def parse_ranges(text: str) -> list[Run]:
    """`1-240:2,300` as runs, in the order of the text: from-to:step, both ends included, or single frames.

    Raises ValueError for what is no such list, for ranges that run backwards and for frames that are there twice."""
    runs = [_parse_range(part.strip()) for part in text.split(",")]
    _refuse_overlaps(runs)
    return runs


def _parse_range(text: str) -> Run:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f'expected frames such as "1-240", "1-240:2" or "7", got {text!r}')
    if any(len(number or "") > 15 for number in match.groups()):
        raise ValueError("a frame number must be below 10**15")
    first, last, step = (None if number is None else int(number) for number in match.groups())
    assert first is not None
    if last is None:
        return Run(first, 1)
    if last < first:
        raise ValueError(f"the range {text} runs backwards; write {last}-{first}")
    if step == 0:
        raise ValueError(f"the range {text} has step 0; a step is 1 or more")
    count = (last - first) // (step or 1) + 1
    return Run(first, count, step or 1) if count > 1 else Run(first, 1)


def _refuse_overlaps(runs: Sequence[Run]) -> None:
    reaching: list[Run] = []
    for run in sorted(runs, key=lambda run: run.start):
        reaching = [other for other in reaching if other.end >= run.start]
        for other in reaching:
            if (frame := _first_common(other, run)) is not None:
                raise ValueError(f"frame {frame} is in {other} and in {run}; list every frame once")
        reaching.append(run)


def _first_common(one: Run, other: Run) -> int | None:
    """The lowest frame that both have. `other.start` is not below `one.start`."""
    divisor = math.gcd(one.step, other.step)
    ahead = other.start - one.start
    if ahead % divisor:
        return None
    # The first k with other.start + k * other.step = one.start (mod one.step).
    period = one.step // divisor
    k = -ahead // divisor * pow(other.step // divisor, -1, period) % period
    frame = other.start + k * other.step
    return frame if frame <= min(one.end, other.end) else None


def balanced(total: int, parts: int) -> Iterator[int]:
    """`total` as `parts` sizes that differ by one at most, the larger ones first."""
    size, larger = divmod(total, parts)
    for index in range(parts):
        yield size + (index < larger)


def cut(runs: Sequence[Run], *, size: int | None = None, count: int | None = None) -> Iterator[Run]:
    """The runs cut into chunks of at most `size` frames, or into `count` chunks; no chunk spans two runs.

    Within a run the sizes differ by one at most. Raises ValueError when `count` is more than there are frames or
    less than there are runs."""
    if size is not None:
        parts = [-(-run.count // size) for run in runs]
    else:
        assert count is not None
        parts = _share(runs, count)
    return _pieces(runs, parts)


def _pieces(runs: Sequence[Run], parts: Sequence[int]) -> Iterator[Run]:
    for run, number in zip(runs, parts, strict=True):
        start = run.start
        for frames in balanced(run.count, number):
            yield Run(start, frames, run.step if frames > 1 else 1)
            start += frames * run.step


def _share(runs: Sequence[Run], count: int) -> list[int]:
    """How many of `count` chunks each run gets: one, and of the rest its share by frames (largest remainder)."""
    total = sum(run.count for run in runs)
    if count > total:
        raise ValueError(f"{count} chunks are more than there are frames ({total})")
    if count < len(runs):
        raise ValueError(f"{count} chunks cannot hold {len(runs)} ranges, since a chunk holds frames of one range only")
    spare, spare_frames = count - len(runs), total - len(runs)
    if not spare:
        return [1] * len(runs)
    exact = [divmod((run.count - 1) * spare, spare_frames) for run in runs]
    parts = [1 + whole for whole, _ in exact]
    left = count - sum(parts)
    for index in sorted(range(len(runs)), key=lambda index: exact[index][1], reverse=True)[:left]:
        parts[index] += 1
    return parts
