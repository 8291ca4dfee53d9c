"""What the commands say about a job: why it failed, how to go on."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from heliostat.builtin.console.terminal import plain
from heliostat.builtin.console.wording import count
from heliostat.cli.faults import say
from heliostat.executor.logs import log_path
from heliostat.model.status import AttemptState, ChunkState, JobState
from heliostat.view import job_dir, last_words

if TYPE_CHECKING:
    from heliostat.contracts.repository import JobRepository
    from heliostat.model.status import JobStatus

FAILED_CHUNKS_SHOWN = 3


def describe_state(status: JobStatus) -> str:
    """The state, and what is about to change it."""
    if status.orphaned:
        return "orphaned"
    changing = status.wish is not None and status.state is JobState.RUNNING
    return f"{status.state} ({status.wish} asked for)" if changing else str(status.state)


def command_line(verb: str, job_id: str, db: str | None) -> str:
    """The command that does `verb` to the job, in this database."""
    where = ["--db", db] if db and db != os.environ.get("HELIOSTAT_DB") else []
    return shlex.join(["heliostat", verb, job_id, *where])


async def tell_end(repository: JobRepository, status: JobStatus, db: str | None) -> None:
    """How a run ended, as far as that needs a word: the film itself is told of by the progress sink."""
    done = f"{status.completed_chunks:,} of {count(status.total_chunks, 'chunk')} done"
    match status.state:
        case JobState.PAUSED | JobState.CANCELLED:
            say(f"{status.state} at {status.progress} %, {done}{_go_on(status, db)}")
        case JobState.FAILED:
            say(f"error: {plain(status.error or 'the job failed')}")
            for line in await failure_lines(repository, status):
                say(f"  {line}")
            say(f"{done}{_go_on(status, db)}")


def _go_on(status: JobStatus, db: str | None) -> str:
    if db is not None and db.startswith("memory:"):
        return ""  # it is gone with this process
    return f"; go on with: {command_line('resume', status.id, db)}"


async def failure_lines(repository: JobRepository, status: JobStatus) -> list[str]:
    """The end of what chunks that were given up wrote on stderr, and where their logs are. A single one is not named:
    the job's own error does that."""
    failed = await repository.chunks(status.id, state=ChunkState.FAILED, limit=FAILED_CHUNKS_SHOWN + 1)
    lines = []
    for chunk in failed[:FAILED_CHUNKS_SHOWN]:
        attempts = await repository.attempts(status.id, index=chunk.index, state=AttemptState.FAILED)
        if not attempts:
            continue
        last = attempts[-1]
        if len(failed) > 1:
            message = plain(last.message or "")
            lines.append(f"chunk {plain(str(chunk.id))}, attempt {last.number}: {last.cause}: {message}")
        lines += [f"| {line}" for line in last_words(last)]
        log = log_path(job_dir(status), status.id, last.index, last.number)
        if log.exists():
            lines.append(f"log: {log}")
    if len(failed) > FAILED_CHUNKS_SHOWN:
        number = (await repository.count(status.id))[ChunkState.FAILED] - FAILED_CHUNKS_SHOWN
        lines.append(f"and {count(number, 'more failed chunk')}")
    return lines
