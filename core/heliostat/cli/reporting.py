"""What the commands say about a job: where its film is, why it failed, how to go on."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import fields, replace

from heliostat.builtin.console.terminal import plain, plain_lines
from heliostat.builtin.console.wording import count
from heliostat.cli.faults import say
from heliostat.executor.logs import log_path
from heliostat.model.codec import to_builtins
from heliostat.model.status import AttemptState, ChunkState, JobState

if TYPE_CHECKING:
    from heliostat.contracts.repository import JobRepository
    from heliostat.model.status import AttemptStatus, JobStatus

FAILED_CHUNKS_SHOWN = 3
LAST_LINES = 10


def film(status: JobStatus) -> Path | None:
    """Where the film of a completed job is, as far as the specification tells."""
    return job_dir(status) / status.output if status.output else None


def as_builtins(status: JobStatus) -> dict[str, Any]:
    """A job for `--json`: without its chunks, which may be many, and with what is computed."""
    data: dict[str, Any] = to_builtins(replace(status, spec=replace(status.spec, chunks=())))
    del data["spec"]["chunks"]
    path = film(status)
    return {
        **data,
        "worker": _with_defaults(status.worker),
        "settings": _with_defaults(status.settings),
        "metrics": _with_defaults(status.metrics),
        "progress": status.progress,
        "orphaned": status.orphaned,
        "jobDir": str(job_dir(status)),
        "film": None if path is None else str(path),
    }


def _with_defaults(record: Struct | None) -> dict[str, Any] | None:
    """All fields of a record that leaves its defaults out of its JSON."""
    if record is None:
        return None
    return {field.encode_name: to_builtins(getattr(record, field.name)) for field in fields(record)}


def describe_state(status: JobStatus) -> str:
    """The state, and what is about to change it."""
    if status.orphaned:
        return "orphaned"
    changing = status.wish is not None and status.state is JobState.RUNNING
    return f"{status.state} ({status.wish} asked for)" if changing else str(status.state)


def job_dir(status: JobStatus) -> Path:
    return Path(status.settings.job_dir or ".").absolute()


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


def last_words(attempt: AttemptStatus) -> list[str]:
    """The last lines that an attempt wrote on stderr, or else on stdout."""
    tail, result = attempt.stderr_tail, attempt.result
    if result is not None:
        tail = result.stderr_tail if result.stderr_tail.strip() else result.stdout_tail
    return plain_lines(tail)[-LAST_LINES:] if tail.strip() else []
