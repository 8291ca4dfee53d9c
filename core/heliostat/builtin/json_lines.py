"""The progress sink `json`: one JSON object per event and line."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from msgspec import Struct

from heliostat.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from heliostat.model.events import Event


class JsonOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the sink `json`."""

    path: str | None = None
    """The file to append to; stdout when None."""


class JsonSink:
    """Writes each event at once and whole. A reader that goes away ends the output and nothing else.

    Writes to the file descriptor itself: a buffer that is left half written when the reader stops reading would hold
    up the end of the program.
    """

    def __init__(self, options: JsonOptions | None = None) -> None:
        """Raises OSError when the file cannot be opened, and SpecError where stdout is no file."""
        self._path = (options or JsonOptions()).path
        self._lock = threading.Lock()
        self._jobs: set[str] = set()
        self._broken = False
        self._fd: int | None = None
        if self._path is None:
            self._fd = _stdout()
        else:
            os.close(_open(self._path))

    def handle(self, event: Event, /) -> None:
        from heliostat.model.codec import to_json
        from heliostat.model.events import JobEnded

        with self._lock:
            if self._fd is None:
                assert self._path is not None
                self._fd = _open(self._path)
            self._jobs.add(event.job_id)
            if not self._broken:
                try:
                    _write(self._fd, to_json(event) + b"\n")
                except BrokenPipeError:
                    self._broken = True
            if isinstance(event, JobEnded):
                self._jobs.discard(event.job_id)
                if self._path is not None and not self._jobs:
                    os.close(self._fd)
                    self._fd = None


def _stdout() -> int:
    from heliostat.errors import SpecError

    try:
        sys.stdout.flush()
        return sys.stdout.fileno()
    except (OSError, ValueError, AttributeError):
        raise SpecError("progress sink 'json' finds no stdout; give it a file with its option path") from None


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # whoever started this program made its stdout non-blocking
            import select

            select.select([], [fd], [])


@hookimpl
def register_progress_sinks(register: Register) -> None:
    register("json", JsonSink, options=JsonOptions, summary="A JSON object per event and line.")
