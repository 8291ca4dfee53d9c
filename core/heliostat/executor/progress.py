"""Progress arithmetic: frames, rate and time to go. Chunks are counted by the ledger, not here."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

RATE_WINDOW = 20.0
"""Seconds over which the rate is measured."""
_SHORTEST = 1.0


class Snapshot(NamedTuple):
    frames_done: float
    percent: float
    rate: float | None
    eta: float | None


class FrameMeter:
    """Frames of succeeded chunks and of those running, and how fast their number grows."""

    def __init__(self, total_frames: int, completed_frames: int, now: float) -> None:
        self.total_frames = total_frames
        self.completed_frames = completed_frames
        self._samples: deque[tuple[float, float]] = deque([(now, float(completed_frames))])

    def frames_done(self, running_frames: float) -> float:
        """Of succeeded chunks and of those running; `running_frames` are the frames of unfinished attempts."""
        return min(self.completed_frames + running_frames, float(self.total_frames))

    def snapshot(self, running_frames: float, now: float) -> Snapshot:
        """The state at `now`, in seconds of a monotonic clock."""
        return self.reached(self.frames_done(running_frames), now)

    def reached(self, done: float, now: float) -> Snapshot:
        """The state at `now`, when so many frames are done. These are fewer than before when an attempt has failed."""
        percent = 100.0 * done / self.total_frames if self.total_frames else 100.0
        samples = self._samples
        samples.append((now, done))
        while len(samples) > 2 and samples[1][0] <= now - RATE_WINDOW:
            samples.popleft()
        began, before = samples[0]
        rate = (done - before) / (now - began) if now - began >= _SHORTEST and done > before else None
        eta = (self.total_frames - done) / rate if rate else None
        return Snapshot(done, percent, rate, eta)
