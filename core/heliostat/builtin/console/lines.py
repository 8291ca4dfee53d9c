"""The sink `lines`: plain lines for logs, not too many of them."""

from __future__ import annotations

import sys
import threading
import time

from heliostat.builtin.console.terminal import plain
from heliostat.builtin.console.view import JobView, failure_line
from heliostat.builtin.console.wording import clock, count, rate, seen_from_here, took
from heliostat.model.events import (
    AttemptFailed,
    ChunkFailed,
    ConcurrencyChanged,
    Event,
    JobEnded,
    JobStarted,
    MergeStarted,
    ObserverFailed,
)
from heliostat.model.status import JobState

FAILURES_PER_INTERVAL = 5
"""Failures that get a line of their own within one interval; the others are counted."""
_SIGN_OF_LIFE = 60.0


class LinesSink:
    """Writes on stderr. Takes the events of several jobs at once."""

    def __init__(self, *, interval: float = 5.0, job_dir: str | None = None) -> None:
        self._interval = interval
        self._job_dir = job_dir
        self._lock = threading.Lock()
        self._jobs: dict[str, _Log] = {}

    def handle(self, event: Event, /) -> None:
        with self._lock:
            if isinstance(event, JobStarted):
                self._jobs[event.job_id] = _Log(event)
            log = self._jobs.get(event.job_id)
            if log is None:
                return
            for line in log.lines(event, self._interval, self._job_dir):
                _write(f"{log.view.name}: {line}")
            if isinstance(event, JobEnded):
                del self._jobs[event.job_id]


class _Log:
    """The lines about one job."""

    def __init__(self, started: JobStarted) -> None:
        self.view = JobView(started)
        self._told_at = time.monotonic()
        self._told: object = None
        self._failures = 0

    def lines(self, event: Event, interval: float, job_dir: str | None) -> list[str]:
        self.view.apply(event)
        match event:
            case JobStarted():
                return [opening(self.view)]
            case AttemptFailed():
                self._failures += 1
                if self._failures > FAILURES_PER_INTERVAL:
                    return self._progress(interval)
                after = "" if event.retry_in is None else f"; next attempt in {took(event.retry_in)}"
                return [failure_line(event) + after]
            case ChunkFailed():
                if self.view.failed_chunks > FAILURES_PER_INTERVAL:
                    return self._progress(interval)
                return [f"chunk {plain(str(event.chunk))} is given up after {count(event.attempts, 'attempt')}"]
            case ConcurrencyChanged():
                return [f"now at most {count(event.concurrency, 'chunk')} at once"]
            case MergeStarted():
                return [f"joining {count(self.view.total_chunks, 'chunk')} ({self.view.merging})"]
            case ObserverFailed():
                return []
            case JobEnded():
                return [closing(self.view, job_dir)]
            case _:
                return self._progress(interval)

    def _progress(self, interval: float) -> list[str]:
        view, now = self.view, time.monotonic()
        state = (int(view.frames_done), view.completed_chunks, len(view.running))
        waited = now - self._told_at
        if waited < interval or (state == self._told and waited < max(interval, _SIGN_OF_LIFE)):
            return []
        self._told_at, self._told = now, state
        lines = [progress(view)]
        if self._failures > FAILURES_PER_INTERVAL:
            untold = count(self._failures - FAILURES_PER_INTERVAL, "more failed attempt")
            lines.insert(0, f"{untold}; {view.last_failure}")
        self._failures = 0
        return lines


def opening(view: JobView) -> str:
    """`10 chunks, 240 frames, 2 at once on local; 4 chunks are there already`."""
    began = view.started
    line = (
        f"{count(began.total_chunks, 'chunk')}, {count(began.total_frames, 'frame')},"
        f" {began.concurrency} at once on {plain(began.worker)}"
    )
    if began.completed_chunks:
        line += f"; {count(began.completed_chunks, 'chunk is', 'chunks are')} there already"
    return line


def progress(view: JobView) -> str:
    """`57 %, 137/240 frames, 5/10 chunks, 2 running, 48.2 frames/s, 0:02 left`."""
    parts = [
        f"{int(view.percent)} %",
        f"{int(view.frames_done):,}/{view.total_frames:,} frames",
        f"{view.completed_chunks:,}/{view.total_chunks:,} chunks",
        f"{len(view.running)} running",
    ]
    if view.rate:
        parts.append(rate(view.rate))
    if view.eta is not None:
        parts.append(f"{clock(view.eta)} left")
    return ", ".join(parts)


def closing(view: JobView, job_dir: str | None) -> str:
    """How the run ended, in one line. The error itself is told by whoever asked for the job."""
    ended = view.ended
    assert ended is not None
    chunks = f"{view.completed_chunks:,}/{view.total_chunks:,} chunks"
    parts = []
    if ended.state is JobState.COMPLETED:
        parts.append(seen_from_here(plain(ended.output), job_dir) if ended.output else f"{ended.state}, {chunks}")
        before = view.started.completed_frames
        rendered = f"{view.total_frames - before:,} of " if before else ""
        parts.append(f"{rendered}{count(view.total_frames, 'frame')} in {took(ended.duration)}")
        if view.average_rate:
            parts.append(rate(view.average_rate))
    else:
        parts += [f"{ended.state} after {took(ended.duration)}", f"{int(view.percent)} %", chunks]
    if view.retries:
        parts.append(count(view.retries, "retry", "retries"))
    if view.failed_chunks:
        parts.append(count(view.failed_chunks, "failed chunk"))
    return ", ".join(parts)


def _write(line: str) -> None:
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # stderr is closed or gone; nothing is left to say it on
        return
