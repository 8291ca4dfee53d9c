"""Prints the log files of a job's attempts, once or as they grow."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from heliostat.builtin.console.terminal import plain, plain_lines
from heliostat.cli.database import find_job, open_jobs
from heliostat.errors import SpecError
from heliostat.executor.logs import log_dir
from heliostat.model.status import JobState
from heliostat.view import job_dir

if TYPE_CHECKING:
    from heliostat.model.status import JobStatus

LOOK_EVERY = 0.3
"""Seconds between looks at growing files."""
_PIECE = 1 << 20


async def print_logs(start: str, chunk: str | None, attempt: int | None, *, follow: bool, db: str | None) -> None:
    """`start`: how the job's id begins. Raises SpecError for a chunk that is not there, or was not yet run."""
    async with open_jobs(db) as (manager, _):
        status = await manager.get(await find_job(manager, start))
        logs = _Logs(status, chunk, attempt)
        while True:
            active = status.state in (JobState.PENDING, JobState.RUNNING) and not status.orphaned
            found = logs.print_new(newest_only=not follow)
            if not (follow and active):
                break
            await asyncio.sleep(LOOK_EVERY)
            status = await manager.get(status.id)
    if not found:
        what = "the job" if chunk is None else f"chunk {chunk}"
        nth = "" if attempt is None else f" in attempt {attempt}"
        raise SpecError(f"{what} has written nothing{nth}; looked in {logs.folder}")


class _Logs:
    """The logs of a job, and how much of each is printed."""

    def __init__(self, status: JobStatus, chunk: str | None, attempt: int | None) -> None:
        self.folder = log_dir(job_dir(status), status.id)
        self._names = [plain(str(chunk.id)) for chunk in status.spec.chunks]
        self._index = None if chunk is None else self._find(status, chunk)
        self._attempt = attempt
        self._printed: dict[Path, int] = {}
        self._last: Path | None = None

    def print_new(self, *, newest_only: bool) -> bool:
        """Print what was added since the last call. Returns whether there is any log at all."""
        files = sorted(self._files())
        if newest_only and self._attempt is None:
            files = list({index: (index, number, path) for index, number, path in files}.values())
        for index, number, path in files:
            self._print(index, number, path)
        return bool(files)

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        for path in self.folder.glob("*-*.log"):
            index, _, number = path.stem.partition("-")
            if not (index.isdecimal() and number.isdecimal()):
                continue
            if self._index in (None, int(index)) and self._attempt in (None, int(number)):
                yield int(index), int(number), path

    def _print(self, index: int, number: int, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._printed.get(path, 0))
            while data := file.read(_PIECE):
                if not data.endswith(b"\n"):
                    data += file.readline()
                if path != self._last:
                    self._head(index, number)
                    self._last = path
                self._printed[path] = file.tell()
                _write(data)

    def _head(self, index: int, number: int) -> None:
        name = f"chunk {self._names[index]}, attempt {number}" if index < len(self._names) else "the join"
        if self._index is None or self._attempt is None:
            typer.echo(f"{'' if self._last is None else chr(10)}==> {name} <==")

    def _find(self, status: JobStatus, chunk: str) -> int:
        for index, known in enumerate(status.spec.chunks):
            if str(known.id) == chunk:
                return index
        raise SpecError(
            f"job {status.id} has no chunk {chunk}; it has {len(self._names):,}, the first is {self._names[0]}"
        )


def _write(data: bytes) -> None:
    """As it is for another program, and without what commands a terminal for a terminal."""
    if sys.stdout.isatty():
        for line in plain_lines(data.decode("utf-8", "replace")):
            typer.echo(line)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
