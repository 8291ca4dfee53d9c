"""A job as programs are shown it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import fields

from heliostat import (
    ChunkRequest,
    JobExecutionOptions,
    JobExecutor,
    JobManager,
    JobSpec,
    JobStatus,
    JobView,
    open_repository,
    to_builtins,
    view_details,
    view_job,
)
from heliostat.errors import CommandFailed
from heliostat.testing import ScriptedWorker
from heliostat.view import SpecView

MakeSpec = Callable[..., JobSpec]


def names(kind: type) -> set[str]:
    return {field.encode_name for field in fields(kind)}


def test_it_has_all_that_a_status_and_a_specification_have_but_the_chunks():
    assert names(SpecView) == names(JobSpec) - {"chunks"}
    assert names(JobView) - {"progress", "orphaned", "jobDir", "film"} == names(JobStatus)


async def test_failed_chunks_come_with_their_last_words_and_no_more_of_them_than_asked_for(
    make_spec: MakeSpec, tmp_path: Path
):
    def outcome(request: ChunkRequest) -> CommandFailed | None:
        if request.chunk.id == 2:
            return None
        return CommandFailed("it broke", stderr_tail=f"\x1b[31mno {request.attempt}\x1b[0m\n")

    repository = open_repository(f"sqlite:///{tmp_path / 'jobs.db'}")
    async with JobManager(repository, JobExecutor(ScriptedWorker(outcome))) as manager:
        how = JobExecutionOptions(job_dir=tmp_path, retries=1, retry_delay=0.0, fail_fast=False)
        await manager.wait(await manager.submit(make_spec(4, id="j"), how))
        job = await manager.get("j")
        details = await view_details(repository, job)
        assert [(failed.chunk, failed.attempts, failed.last_words) for failed in details.failed_chunks] == [
            (0, 2, ["no 2"]),
            (1, 2, ["no 2"]),
            (3, 2, ["no 2"]),
        ]
        assert to_builtins(details)["chunks"] == {"pending": 0, "running": 0, "succeeded": 1, "failed": 3}
        assert len((await view_details(repository, job, failures=2)).failed_chunks) == 2
    shown = to_builtins(view_job(job))
    assert "chunks" not in shown["spec"]
    assert (shown["progress"], shown["orphaned"], shown["jobDir"], shown["film"]) == (25, False, str(tmp_path), None)
    assert shown["metrics"]["staleResults"] == 0, "what is 0 is said"
