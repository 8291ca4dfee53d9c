"""Telling sinks of another process's job."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest

from heliostat import Chunk, JobExecutor, JobManager, JobSpec, Metadata, WorkerAdapter, open_repository
from heliostat.cli.retelling import Retelling
from heliostat.contracts.worker import ChunkReport, ChunkRequest
from heliostat.errors import CommandFailed
from heliostat.model.events import Event
from heliostat.model.result import ChunkResult


class Adapter(WorkerAdapter):
    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        if request.chunk.id == 1:
            raise CommandFailed("exit status 3", stderr_tail="boom")
        return ChunkResult(exit_code=0, duration=0.1)


class Listener:
    def __init__(self) -> None:
        self.told: list[str] = []

    async def handle(self, event: Event, /) -> None:
        self.told.append(type(event).__name__)


class Broken:
    def __init__(self) -> None:
        self.calls = 0

    def handle(self, event: Event, /) -> None:
        self.calls += 1
        raise RuntimeError("no")


async def test_a_sink_that_raises_is_told_nothing_more(
    make_spec: Callable[..., JobSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    repository = open_repository("memory:")
    async with JobManager(repository, JobExecutor(Adapter())) as manager:
        job_id = await manager.submit(make_spec(1))
        status = await manager.wait(job_id)
        good, bad = Listener(), Broken()
        told = Retelling(repository, [bad, good])
        await told.begin(status)
        await told.go_on(status)
        await told.end(status)
    assert good.told == ["JobStarted", "Progressed", "JobEnded"]
    assert bad.calls == 1
    assert capsys.readouterr().err == "heliostat: warning: Broken raised RuntimeError: no; it is told nothing more\n"


async def test_frames_of_very_many_chunks_are_shared_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliostat.cli.retelling._MANY_CHUNKS", 1)
    sizes = (10, 30)
    spec = JobSpec(
        metadata=Metadata(total_frames=40, fps=Fraction(24)),
        chunks=tuple(
            Chunk(id=n, start_frame=10 * n, frame_count=size, output_file=f"{n}", command=("true",))
            for n, size in enumerate(sizes)
        ),
    )
    repository = open_repository("memory:")
    events: list[Event] = []

    class Keep:
        def handle(self, event: Event, /) -> None:
            events.append(event)

    async with JobManager(repository, JobExecutor(Adapter())) as manager:
        status = await manager.wait(await manager.submit(spec))
        told = Retelling(repository, [Keep()])
        await told.begin(status)
    (started,) = events
    assert started.completed_chunks == 1  # type: ignore[union-attr]
    assert started.completed_frames == 20  # type: ignore[union-attr]
