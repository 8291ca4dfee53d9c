"""Where the commands find the jobs: the repository that `--db` names, and ids that may be abbreviated."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from heliostat.contracts.progress import ProgressSink
    from heliostat.contracts.repository import JobRepository
    from heliostat.executor.executor import JobExecutor
    from heliostat.manager import JobManager
    from heliostat.model.status import JobStatus


def database_url(db: str | None) -> str:
    """A URL as it is, a path as that of an SQLite file, and nothing as the default file, whose folder is made. Raises
    SpecError when it cannot be made."""
    if not db:
        import platformdirs

        from heliostat.errors import SpecError

        folder = platformdirs.user_data_path("heliostat", appauthor=False)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SpecError(
                f"the folder {folder} cannot be made ({error.strerror}); name another place for jobs with --db or"
                " HELIOSTAT_DB"
            ) from None
        return f"sqlite:///{folder / 'heliostat.db'}"
    if re.match(r"[a-z][a-z0-9+.-]+:", db):  # more than one letter, which is a drive on some systems
        return db
    return f"sqlite:///{Path(db).expanduser().absolute()}"


def open_repository(db: str | None) -> JobRepository:
    """Raises PluginError and SpecError."""
    from heliostat.cli.plugin_use import warn_of_plugins
    from heliostat.plugins import open_repository

    warn_of_plugins()
    return open_repository(database_url(db))


class Jobs(NamedTuple):
    """An open repository and the manager of the jobs in it."""

    manager: JobManager
    repository: JobRepository


@contextlib.asynccontextmanager
async def open_jobs(
    db: str | None,
    *,
    executor: Callable[[JobStatus], JobExecutor] | None = None,
    sinks: Iterable[ProgressSink] = (),
) -> AsyncIterator[Jobs]:
    from heliostat.manager import JobManager

    repository = open_repository(db)
    async with JobManager(repository, executor, sinks=sinks) as manager:
        yield Jobs(manager, repository)


async def find_job(manager: JobManager, start: str) -> str:
    """The one job whose id is, or begins with, `start`. Raises JobNotFound and SpecError."""
    from heliostat.errors import JobNotFound, SpecError

    with contextlib.suppress(JobNotFound):
        return (await manager.get(start)).id
    found = [job.id for job in await manager.list(limit=100_000, with_chunks=False) if job.id.startswith(start)]
    if not found:
        raise JobNotFound(f"no job has an id that begins with {start!r}; `heliostat jobs` lists them")
    if len(found) > 1:
        some = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
        raise SpecError(f"{len(found)} jobs have an id that begins with {start!r}: {some}; give more of it")
    return found[0]
