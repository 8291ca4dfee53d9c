"""One job on the adapter under test, run as an application would run it, and everything that was told of it."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import msgspec

from heliostat.contracts.artifacts import output_key
from heliostat.executor.executor import JobExecutor
from heliostat.executor.options import JobExecutionOptions
from heliostat.journal import JournalReader
from heliostat.manager import JobManager
from heliostat.model.codec import from_json, to_json
from heliostat.model.events import ChunkProgressed, Event, Progressed
from heliostat.model.spec import Chunk, JobSpec, Metadata
from heliostat.model.status import AttemptState, AttemptStatus, ChunkState, JobState, JobStatus, percent
from heliostat.plugins import open_artifact_store, open_repository

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore
    from heliostat.contracts.repository import JobRepository
    from heliostat.contracts.worker import WorkerAdapter
    from heliostat.model.result import Output

E = TypeVar("E")

FRAMES: Final = 4
"""Frames of every chunk."""
PLAYER: Final = resources.files("heliostat.testing").joinpath("player.py").read_text(encoding="utf-8")


def player_command(output: str, *steps: str) -> tuple[str, ...]:
    """A renderer that takes these steps; `heliostat.testing.player` says what there is."""
    return ("python", "-I", "-S", "-c", PLAYER, output, *steps)


def film(*chunks: Sequence[str], outputs: Sequence[str] | None = None, **changes: Any) -> JobSpec:
    """A job with one chunk for each list of steps. Its outputs are chunks/0000.bin and so on, or those given."""
    outputs = outputs or [f"chunks/{index:04d}.bin" for index in range(len(chunks))]
    spec = JobSpec(
        id="job",
        metadata=Metadata(total_frames=FRAMES * len(chunks), fps=Fraction(24)),
        chunks=tuple(
            Chunk(
                id=index,
                start_frame=FRAMES * index,
                frame_count=FRAMES,
                output_file=output,
                command=player_command(output, *steps),
            )
            for index, (output, steps) in enumerate(zip(outputs, chunks, strict=True))
        ),
        progress=r"frame (\d+)",
    )
    return msgspec.structs.replace(spec, **changes)


class Trial:
    """A manager with a database of its own, an executor with the adapter, and one observer of each kind.

    An async context manager; on leaving, what is general in P1 to P6 is asserted of the job, whatever became of it, and
    of all jobs that their journals tell what was told.
    """

    def __init__(
        self, worker: WorkerAdapter, folder: Path, *, artifacts: str | None = None, patience: float = 10.0
    ) -> None:
        self.folder = folder
        self.job_dir = folder / "job dir"
        self.job_dir.mkdir(parents=True, exist_ok=True)
        self.url = f"sqlite:///{folder / 'jobs.db'}"
        self.calls: list[tuple[int, int]] = []
        """What `on_progress` was called with, over all runs."""
        self.percents: list[int] = []
        """What the repository said at each of these calls."""
        self.events: list[Event] = []
        self.observes = True
        """Whether `on_progress` of this trial is the job's."""
        self.told_elsewhere = 0
        """How many chunks another process has told."""
        self.lost = 0
        """How many delivered outputs have vanished since; their chunks are told twice."""
        self._worker = worker
        self._artifacts_url = artifacts
        self._patience = patience
        self._calling = 0
        self._faults: list[str] = []
        self.repository: JobRepository
        self.manager: JobManager

    async def __aenter__(self) -> Self:
        self.repository = await open_repository(self.url).__aenter__()  # as another process would see the job
        self.manager = JobManager(
            open_repository(self.url),
            JobExecutor(self._worker, observer_patience=self._patience),
            artifacts=open_artifact_store(self._artifacts_url) if self._artifacts_url else None,
        )
        await self.manager.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        calls = list(self.calls)
        await self.manager.close()
        try:
            if error is None:
                for _ in range(10):
                    await asyncio.sleep(0)
                assert self.calls == calls, "P6: on_progress was called after the job had ended"
                await self.check()
        finally:
            await self.repository.__aexit__(kind, error, traceback)

    # --- running -----------------------------------------------------------------------------------------------------

    def options(self, **options: Any) -> JobExecutionOptions:
        """Quick retries, and this trial as the observer."""
        return JobExecutionOptions(
            **{
                "retry_delay": 0.0,
                "retries": 0,
                "concurrency": 2,
                "job_dir": self.job_dir,
                "on_progress": self.on_progress,
                "on_event": self.on_event,
                **options,
            }
        )

    async def start(self, spec: JobSpec, **options: Any) -> str:
        return await self.manager.submit(spec, self.options(**options))

    async def run(self, spec: JobSpec, **options: Any) -> JobStatus:
        """Run a job to its end, or to a pause."""
        return await self.manager.wait(await self.start(spec, **options))

    async def resume(self, job_id: str = "job", **options: Any) -> JobStatus:
        await self.manager.resume(job_id, self.options(**options))
        return await self.manager.wait(job_id)

    # --- observing ---------------------------------------------------------------------------------------------------

    async def on_progress(self, completed: int, total: int) -> None:
        self._calling += 1
        if self._calling > 1:
            self._faults.append(f"P2: the calls for {completed - 1} and {completed} overlap")
        self.calls.append((completed, total))
        status = await self.repository.get("job")
        if status.completed_chunks < completed:
            self._faults.append(f"P4: {completed} was told while the repository had {status.completed_chunks}")
        if status.state is not JobState.RUNNING:
            self._faults.append(f"P2: {completed} was told while the job was {status.state}")
        if status.progress != percent(status.completed_chunks, total) or not 0 <= status.progress <= 100:
            self._faults.append(f"P4: {status.progress} % for {status.completed_chunks} of {total}")
        self.percents.append(status.progress)
        self._calling -= 1

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def told(self, kind: type[E]) -> list[E]:
        """All events of one kind, so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until_told(self, kind: type[E], wanted: Callable[[E], bool] = lambda event: True) -> E:
        """Wait for an event."""
        while True:
            found = next((event for event in self.told(kind) if wanted(event)), None)
            if found is not None:
                return found
            await asyncio.sleep(0.005)

    async def attempts(self, index: int) -> list[AttemptStatus]:
        """What the repository has of one chunk's attempts."""
        return list(await self.repository.attempts("job", index=index))

    async def read(self, output: Output, job_id: str = "job") -> bytes:
        """What was delivered, from wherever it lies."""
        here = self.job_dir / output.path
        if here.exists() or output.url is None:
            return here.read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            fetched = Path(folder, "output")
            async with self._store() as store:
                await store.get(output_key(job_id, output.path), fetched)
            return fetched.read_bytes()

    async def lose(self, output: Output) -> None:
        """Let a delivered output vanish."""
        self.lost += 1
        (self.job_dir / output.path).unlink(missing_ok=True)
        if output.url is not None:
            async with self._store() as store:
                await store.delete(output_key("job", output.path))

    def _store(self) -> ArtifactStore:
        """The store that the workers deliver to, to be opened."""
        url = self._artifacts_url or self._worker.artifacts
        assert url is not None, "an output has the URL of an artifact store that is not known"
        return open_artifact_store(url)

    # --- asserting ---------------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """P1, P2, P4 and the journal, as they hold for any job at any moment that it does not run."""
        assert not self._faults, "; ".join(self._faults)
        jobs = await self.repository.list()
        for job in jobs:
            await self._check_journal(job)
        status = next((job for job in jobs if job.id == "job"), None)
        if status is None:
            return
        assert status.state is not JobState.RUNNING
        rows = await self.repository.chunks("job", state=ChunkState.SUCCEEDED)
        assert status.completed_chunks == len(rows)
        assert sorted(row.position or 0 for row in rows) == [*range(1, len(rows) + 1)]
        accepted = Counter(a.index for a in await self.repository.attempts("job", state=AttemptState.SUCCEEDED))
        assert set(accepted) >= {row.index for row in rows}, "P1: every success has its accepted attempt"
        assert accepted.total() == len(rows) + self.lost, "P1: only one attempt of a chunk is accepted"
        assert not await self.repository.attempts("job", state=AttemptState.RUNNING)
        if self.observes and not self.lost:
            expected = calls(self.told_elsewhere + 1, len(rows), status.total_chunks)
            assert self.calls == expected, "P1: every committed chunk is told once, over all runs of the job"

    async def _check_journal(self, job: JobStatus) -> None:
        """Anybody can read the events that were told, but for those about frames: equal, in their order."""
        journal = JournalReader(self.repository, job)
        read = [event async for _, event in journal.read(job.revision)]
        told: list[Event] = [
            from_json(to_json(event), Event)  # type: ignore[arg-type]
            for event in self.events
            if event.job_id == job.id and not isinstance(event, ChunkProgressed | Progressed)
        ]
        if self.told_elsewhere:
            assert len(read) > len(told), "another process has told of a run before"
            read = read[len(read) - len(told) :]
        assert read == told, "the journal tells what the sinks were told"


def calls(first: int, last: int, total: int) -> list[tuple[int, int]]:
    """What `on_progress` is to be called with, from one number to another."""
    return [(completed, total) for completed in range(first, last + 1)]
