"""From what was given on the command line to the options, the worker adapter and the sinks of a run."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from heliostat.cli.options import Display, Limits, Progress
from heliostat.cli.plugin_use import make_sinks
from heliostat.errors import SpecError
from heliostat.executor.options import JobExecutionOptions
from heliostat.model.status import JobSettings

if TYPE_CHECKING:
    from heliostat.contracts.progress import ProgressSink


def new_options(limits: Limits, only: Sequence[str] | None, job_dir: str | os.PathLike[str]) -> JobExecutionOptions:
    """Of a new job. Raises SpecError."""
    if not os.path.isdir(job_dir):
        raise SpecError(f"the job directory {os.fspath(job_dir)} does not exist; create it or name another")
    return JobExecutionOptions.from_settings(changed(JobSettings(job_dir=os.fspath(job_dir)), limits, only))


def changed(settings: JobSettings, limits: Limits, only: Sequence[str] | None) -> JobSettings:
    """Settings with what was given on the command line in place of what they had. Raises SpecError."""
    changes: dict[str, Any] = {
        "concurrency": limits.concurrency,
        "retries": limits.retries,
        "retry_delay": _seconds("--retry-delay", limits.retry_delay, or_zero=True),
        "chunk_timeout": _seconds("--chunk-timeout", limits.chunk_timeout),
        "stall_timeout": _seconds("--stall-timeout", limits.stall_timeout),
        "fail_fast": None if limits.keep_going is None else not limits.keep_going,
        "merge": limits.merge,
        "only_chunks": _chunks(only),
        "env": {**settings.env, **environment(limits.env)} if limits.env else None,
    }
    return replace(settings, **{name: value for name, value in changes.items() if value is not None})


def environment(pairs: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE`, or `NAME` for the value that it has here. Raises SpecError."""
    env = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or "\0" in pair:
            raise SpecError(f"--env {pair!r}: write NAME=VALUE, or NAME for the value that it has here")
        if not equals:
            if name not in os.environ:
                raise SpecError(f"--env {name}: there is no such variable here; write {name}=VALUE")
            value = os.environ[name]
        env[name] = value
    return env


def sinks(display: Display, job_dir: str | os.PathLike[str] | None = None) -> list[ProgressSink]:
    """The sinks that were asked for. Raises PluginError and SpecError."""
    from heliostat.builtin.console.terminal import stderr_is_live

    names, settings = list(display.sinks), list(display.sink_settings)
    shown = display.progress.value
    if display.progress is Progress.auto:
        shown = "bar" if stderr_is_live() else "lines"
    if display.progress is not Progress.none and shown not in names:
        names.insert(0, shown)
        if shown in ("bar", "lines") and job_dir is not None:
            settings.insert(0, f"{shown}.job_dir={os.fspath(job_dir)}")
    return make_sinks(names, settings)


def _chunks(only: Sequence[str] | None) -> tuple[str, ...] | None:
    if not only:
        return None
    chunks = tuple(part.strip() for text in only for part in text.split(",") if part.strip())
    if not chunks:
        raise SpecError("--only names no chunk; `heliostat plan` lists them")
    return chunks


def _seconds(option: str, value: float | None, *, or_zero: bool = False) -> float | None:
    if value is None or (math.isfinite(value) and (value > 0 or (or_zero and value == 0))):
        return value
    raise SpecError(f"{option} {value:g}: give a number of seconds {'from 0' if or_zero else 'above 0'}")
