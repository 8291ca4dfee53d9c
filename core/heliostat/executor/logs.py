"""The log files of a job: one for each attempt, with a size cap, in the job directory."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from heliostat.executor.attempt import Attempt

LOG_LIMIT = 16 * 1024 * 1024
"""Bytes that one attempt's log may take; the rest is left out, and a line says so."""

_OPEN_FILES = 64


def log_path(job_dir: str | Path, job_id: str, index: int, attempt: int) -> Path:
    """Where an attempt's log is: `<job_dir>/.heliostat/logs/<job>/<index>-<attempt>.log`."""
    return log_dir(job_dir, job_id) / f"{index:06d}-{attempt}.log"


def log_dir(job_dir: str | Path, job_id: str) -> Path:
    """The folder of a job's logs. An id that is no plain file name is spelled so that it becomes one."""
    plain = "".join(c if c.isalnum() or c in "-_." else f"%{ord(c):02x}" for c in job_id)
    return Path(job_dir) / ".heliostat" / "logs" / (plain if plain.strip(".") else f"%{plain}")


class JobLogs:
    """Appends to attempts' logs, from any thread. A log that cannot be written costs the job nothing."""

    def __init__(self, job_dir: str | Path, job_id: str) -> None:
        self._dir = log_dir(job_dir, job_id)
        self._files: dict[tuple[int, int], BinaryIO] = {}
        self._full: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    def write(self, attempt: Attempt, text: str) -> None:
        key = (attempt.index, attempt.number)
        with self._lock, contextlib.suppress(OSError, ValueError):
            # Asked here and not by the caller, who may be a thread that comes while the attempt ends.
            if attempt.ended or key in self._full:
                return
            file = self._files.get(key) or self._open(key)
            data = text.encode("utf-8", "replace")
            if not data.endswith(b"\n"):
                data += b"\n"
            room = LOG_LIMIT - file.tell()
            if len(data) > room:
                data = data[: max(room, 0)] + b"\n[the rest is left out: this log reached its limit]\n"
                self._full.add(key)
            file.write(data)
            file.flush()

    def close(self, attempt: Attempt) -> None:
        """The attempt has ended; what it yet says is not written."""
        key = (attempt.index, attempt.number)
        with self._lock:
            file = self._files.pop(key, None)
            self._full.discard(key)
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()

    def _open(self, key: tuple[int, int]) -> BinaryIO:
        while len(self._files) >= _OPEN_FILES:
            oldest = next(iter(self._files))
            with contextlib.suppress(OSError):
                self._files.pop(oldest).close()
        self._dir.mkdir(parents=True, exist_ok=True)
        file = self._files[key] = (self._dir / f"{key[0]:06d}-{key[1]}.log").open("ab")
        return file
