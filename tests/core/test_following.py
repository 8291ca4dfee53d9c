"""`JobManager.events`: what the sinks of a job are told, read from the repository by anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliostat import (
    AttemptChange,
    AttemptFailed,
    AttemptState,
    Batch,
    Cause,
    ChunkFailed,
    ChunkProgressed,
    ChunkResult,
    ChunkStarted,
    ChunkSucceeded,
    ConcurrencyChanged,
    Event,
    JobChange,
    JobEnded,
    JobExecutionOptions,
    JobExecutor,
    JobManager,
    JobSpec,
    JobStarted,
    JobState,
    Lease,
    ObserverFailed,
    Progressed,
    WorkerAdapter,
    WorkerLimits,
    errors,
    open_repository,
)
from heliostat.builtin.memory import MemoryRepository
from heliostat.testing.scripted import ScriptedWorker

MakeSpec = Callable[..., JobSpec]
FAILED = ChunkResult(exit_code=3, duration=0.25, stderr_tail="the lens is cracked\n", message="exit status 3")
PATIENCE = 60.0

OUTCOMES: dict[tuple[int, int], Any] = {
    (1, 1): FAILED,
    (2, 1): errors.CommandFailed("it broke", stderr_tail="boom\n"),
    (3, 1): errors.Throttled("not so fast", retry_after=0.0),
    (4, 1): errors.WorkerLost("gone"),
    (6, 1): FAILED,
    (6, 2): FAILED,
    (6, 3): FAILED,
}
"""By chunk and attempt; chunk 6 is given up."""


class Gate(WorkerAdapter):
    """Each attempt waits until it is let go; before that it reports as many frames as it is told to."""

    limits = WorkerLimits(default_concurrency=2)

    def __init__(self) -> None:
        self.reports: dict[int, Any] = {}
        self._open: dict[int, asyncio.Event] = {}

    def _gate(self, chunk: int) -> asyncio.Event:
        return self._open.setdefault(chunk, asyncio.Event())

    def let(self, *chunks: int) -> None:
        for chunk in chunks:
            self._gate(chunk).set()

    async def run(self, request, report):
        self.reports[request.chunk.id] = report
        await self._gate(request.chunk.id).wait()
        return ChunkResult(exit_code=0, duration=0.0)


class Reader:
    """Reads events in a task of its own, until they end."""

    def __init__(self, manager: JobManager, job_id: str, after: str | None = None, **how: Any) -> None:
        self.told: list[tuple[str | None, Event]] = []
        self._moved = asyncio.Event()
        self._task = asyncio.create_task(self._read(manager.events(job_id, after, **how)))

    async def _read(self, events: AsyncIterator[tuple[str | None, Event]]) -> None:
        async for event_id, event in events:
            self.told.append((event_id, event))
            self._moved.set()

    @property
    def journaled(self) -> list[Event]:
        return [event for event_id, event in self.told if event_id is not None]

    async def until(self, kind: type, **wanted: object) -> None:
        async with asyncio.timeout(PATIENCE):
            while not any(
                isinstance(event, kind) and all(getattr(event, name) == value for name, value in wanted.items())
                for _, event in self.told
            ):
                self._moved.clear()
                await self._moved.wait()

    async def end(self) -> list[tuple[str | None, Event]]:
        async with asyncio.timeout(PATIENCE):
            await self._task
        return self.told

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


def journaled(told: Sequence[Event]) -> list[Event]:
    """Without those about frames, which no journal has."""
    return [event for event in told if not isinstance(event, ChunkProgressed | Progressed)]


def options(tmp_path: Path, **more: object) -> JobExecutionOptions:
    return JobExecutionOptions(**{"retry_delay": 0.0, "job_dir": tmp_path, **more})


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
async def open_manager(url: str) -> AsyncIterator[Callable[..., JobManager]]:
    """Managers on one database, each with a repository of its own as another process would have it."""
    managers: list[JobManager] = []

    def make(worker: WorkerAdapter | None = None) -> JobManager:
        managers.append(JobManager(open_repository(url), None if worker is None else JobExecutor(worker)))
        return managers[-1]

    yield make
    for manager in managers:
        await manager.close()


@pytest.fixture
def eventful(make_spec: MakeSpec, tmp_path: Path) -> Callable[..., Any]:
    """Runs a job in which most kinds of event occur; returns what a sink and a callback on it were told."""

    async def run(manager: JobManager, **more: object) -> list[Event]:
        told: list[Event] = []

        async def on_progress(completed: int, total: int) -> None:
            if completed == 2:
                raise ValueError("from a callback")

        job = make_spec(9, id="j", frames=4)
        how = {"concurrency": 3, "fail_fast": False, "on_event": told.append, "on_progress": on_progress, **more}
        await manager.submit(job, options(tmp_path, **how))
        await manager.wait("j")
        return told

    return run


def outcome(request: Any) -> Any:
    return OUTCOMES.get((request.chunk.id, request.attempt))


# --- what is told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["memory:", "sqlite:///{}/jobs.db"])
async def test_readers_are_told_what_the_sinks_were_told_to_the_last_field(where: str, eventful, tmp_path: Path):
    async with JobManager(open_repository(where.format(tmp_path)), JobExecutor(ScriptedWorker(outcome))) as manager:
        told = journaled(await eventful(manager))
        read = [event async for event_id, event in manager.events("j") if event_id]
    assert read == told
    kinds = {type(event) for event in read}
    assert kinds == {
        *(JobStarted, ChunkStarted, ChunkSucceeded, AttemptFailed, ChunkFailed),
        *(ConcurrencyChanged, ObserverFailed, JobEnded),
    }
    tails = {event.stderr_tail for event in read if isinstance(event, AttemptFailed)}
    assert tails == {"the lens is cracked\n", "boom\n", ""}
    assert [event.completed_chunks for event in read if isinstance(event, ChunkSucceeded)] == [*range(1, 9)]


@pytest.mark.parametrize(("entries", "rows"), [(200, 1000), (2, 3)])
async def test_ids_are_the_same_for_every_reader_and_lead_on_from_any_event(
    open_manager, eventful, monkeypatch: pytest.MonkeyPatch, entries: int, rows: int
):
    """However the journal is cut into pages."""
    mine, theirs = open_manager(ScriptedWorker(outcome)), open_manager()
    await eventful(mine)
    all_of_it = [pair async for pair in mine.events("j") if pair[0]]
    assert len({event_id for event_id, _ in all_of_it}) == len(all_of_it)
    monkeypatch.setattr("heliostat.journal.ENTRIES", entries)
    monkeypatch.setattr("heliostat.journal.ROWS", rows)
    assert [pair async for pair in theirs.events("j") if pair[0]] == all_of_it
    for place, (event_id, _) in enumerate(all_of_it):
        assert [pair async for pair in theirs.events("j", event_id) if pair[0]] == all_of_it[place + 1 :]


async def test_the_newest_event_is_where_those_that_are_to_come_begin(
    open_manager, eventful, url: str, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    manager = open_manager(ScriptedWorker(outcome))
    await manager.submit(make_spec(1, id="new"), options(tmp_path), start=False)
    assert await manager.newest_event("new") is None
    await eventful(manager)
    all_of_it = [event_id async for event_id, _ in manager.events("j") if event_id]
    newest = await manager.newest_event("j")
    assert newest == all_of_it[-1]
    assert [event_id async for event_id, _ in manager.events("j", newest) if event_id] == []
    # Entries of which no event tells come after the last event: attempts that their coordinator's death ended.
    async with open_repository(url) as repository:
        lease = await repository.acquire("j", "me", 60.0)
        gone = AttemptChange(0, 1, AttemptState.CANCELLED)
        for _ in range(2):
            await repository.commit(lease, Batch(happened=[gone]))
            await repository.commit(lease, Batch(happened=[gone, gone]))
        await repository.release(lease)
    monkeypatch.setattr("heliostat.journal.ENTRIES", 2)
    assert await manager.newest_event("j") == newest
    with pytest.raises(errors.JobNotFound):
        await manager.newest_event("k")


async def test_whether_an_event_was_told_can_be_asked(open_manager, eventful):
    manager = open_manager(ScriptedWorker(outcome))
    await eventful(manager)
    async for event_id, _ in manager.events("j"):
        if event_id is not None:
            await manager.check_event("j", event_id)
    newest = await manager.newest_event("j")
    assert newest is not None
    made = newest.rpartition("-")[2]
    for unknown in (f"1-99-{made}", f"99-1-{made}", "x"):
        with pytest.raises(errors.SpecError, match="has told no event"):
            await manager.check_event("j", unknown)


async def test_an_id_says_nothing_of_another_job_that_has_the_name_of_one_that_was_deleted(open_manager, eventful):
    manager = open_manager(ScriptedWorker(outcome))
    await eventful(manager)
    before = [event_id async for event_id, _ in manager.events("j") if event_id is not None]
    await manager.delete("j")
    await eventful(manager)
    after = [event_id async for event_id, _ in manager.events("j") if event_id is not None]
    assert len(after) > 10
    for event_id in before:
        assert event_id not in after
        with pytest.raises(errors.SpecError, match="has told no event"):
            await manager.check_event("j", event_id)


async def test_a_commit_whose_answer_was_lost_is_told_once(make_spec: MakeSpec, tmp_path: Path):
    class Unheard(MemoryRepository):
        """Every other commit succeeds, and its answer is lost."""

        commits = 0

        async def commit(self, lease: Lease, batch: Batch) -> None:
            await super().commit(lease, batch)
            Unheard.commits += 1
            if batch.happened and Unheard.commits % 2:
                raise errors.RepositoryUnavailable("the connection was lost; try again")

    told: list[Event] = []
    async with JobManager(Unheard(), JobExecutor(ScriptedWorker(outcome))) as manager:
        await manager.submit(make_spec(9, id="j"), options(tmp_path, on_event=told.append, fail_fast=False))
        reader = Reader(manager, "j")
        await reader.end()
    assert Unheard.commits > 3
    assert reader.journaled == journaled(told)


async def test_runs_come_one_after_the_other_and_the_newest_can_be_had_alone(open_manager, eventful, tmp_path: Path):
    manager = open_manager(ScriptedWorker(outcome))
    first = journaled(await eventful(manager))
    second: list[Event] = []
    await manager.resume("j", options(tmp_path, on_event=second.append))
    assert (await manager.wait("j")).state is JobState.COMPLETED
    second = journaled(second)
    read = [event async for event_id, event in manager.events("j") if event_id]
    assert read == [*first, *second]
    assert isinstance(second[0], JobStarted)
    assert second[0].completed_chunks == 8
    assert [event async for event_id, event in manager.events("j", newest_run=True) if event_id] == second


@pytest.mark.parametrize(
    "after",
    [
        *("", "1", "1-1", "1-0-MADE", "0-1-MADE", "01-1-MADE", "1-1-MADE ", "-1-1-MADE", "1-1-0MADE", "1-1-MADE-1"),
        *("1-99-MADE", "99-1-MADE", "１-1-MADE", "9" * 30),
    ],
)
async def test_an_id_that_was_never_told_is_refused_in_one_sentence(open_manager, eventful, after: str):
    manager = open_manager(ScriptedWorker(outcome))
    await eventful(manager)
    newest = await manager.newest_event("j")
    assert newest is not None
    after = after.replace("MADE", newest.rpartition("-")[2])
    with pytest.raises(errors.SpecError, match=r"^job j has told no event .*; give the id of one that it has told"):
        async for _ in manager.events("j", after):
            pass


async def test_an_unknown_job_is_not_found(open_manager):
    with pytest.raises(errors.JobNotFound):
        async for _ in open_manager().events("nobody's"):
            pass


# --- live ------------------------------------------------------------------------------------------------------------


async def test_who_follows_in_the_job_s_own_process_is_told_without_waiting(
    open_manager, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("heliostat.following.POLL_EVERY", 3600.0)
    worker = Gate()
    manager = open_manager(worker)
    job = await manager.submit(make_spec(3), options(tmp_path))
    reader = Reader(manager, job)
    for chunk in range(3):
        await reader.until(ChunkStarted, index=chunk)
        worker.let(chunk)
        await reader.until(ChunkSucceeded, index=chunk)
    await reader.end()
    assert isinstance(reader.told[-1][1], JobEnded)


async def test_another_process_is_told_as_it_happens(open_manager, make_spec: MakeSpec, tmp_path: Path):
    worker, told = Gate(), []
    mine, theirs = open_manager(worker), open_manager()
    job = await mine.submit(make_spec(3, id="j"), options(tmp_path, on_event=told.append), start=False)
    reader = Reader(theirs, job)  # who waits for it to begin
    await mine.start(job)
    for chunk in range(3):
        await reader.until(ChunkStarted, index=chunk)
        worker.let(chunk)
        await reader.until(ChunkSucceeded, index=chunk, completed_chunks=chunk + 1)
    await reader.end()
    assert reader.journaled == journaled(told)


async def test_frames_are_told_between_a_chunk_s_start_and_its_end_and_have_no_id(
    open_manager, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("heliostat.executor.execution.PERSIST_EVERY", 0.05)
    monkeypatch.setattr("heliostat.following.POLL_EVERY", 0.05)
    worker = Gate()
    mine, theirs = open_manager(worker), open_manager()
    job = await mine.submit(make_spec(2, id="j", frames=8), options(tmp_path, concurrency=1))
    reader, other = Reader(mine, job), Reader(theirs, job)
    for chunk in range(2):
        await reader.until(ChunkStarted, index=chunk)
        for frames in (2, 5):
            worker.reports[chunk].frames_done(frames)
            for each in reader, other:
                await each.until(ChunkProgressed, index=chunk, frames_done=frames)
                await each.until(Progressed, frames_done=8 * chunk + frames, completed_chunks=chunk, running_chunks=1)
        worker.let(chunk)
    for each in reader, other:
        told = await each.end()
        assert all((event_id is None) == (not journaled([event])) for event_id, event in told)
        running: set[int] = set()
        for _, event in told:
            match event:
                case ChunkStarted():
                    running.add(event.index)
                case ChunkSucceeded():
                    running.remove(event.index)
                case ChunkProgressed():
                    assert event.index in running
        percents = [event.percent for _, event in told if isinstance(event, Progressed)]
        assert percents == sorted(percents)
        assert percents[-1] == 100.0
        assert isinstance(told[-1][1], JobEnded)
        assert isinstance(told[-2][1], Progressed)


async def test_it_is_told_too_that_nothing_is_done(
    open_manager, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Else who watches a chunk that hangs could not tell it from one that is quick."""
    monkeypatch.setattr("heliostat.following.TELL_EVERY", 0.1)
    worker = Gate()
    mine, theirs = open_manager(worker), open_manager()
    job = await mine.submit(make_spec(2, id="j", frames=8), options(tmp_path, concurrency=1))
    reader = Reader(theirs, job)
    await reader.until(Progressed, running_chunks=1)
    before = len(reader.told)
    async with asyncio.timeout(PATIENCE):
        while len(reader.told) < before + 3:
            await asyncio.sleep(0.01)
    later = [event for _, event in reader.told[before:]]
    assert all(isinstance(event, Progressed) for event in later)
    times = [event.time for event in later]
    assert times == sorted(set(times))
    worker.let(0, 1)
    await reader.end()


async def test_a_percent_is_of_the_frames_that_are_left_when_an_attempt_has_failed(
    open_manager, make_spec: MakeSpec, tmp_path: Path
):
    """Whoever watched before, or did not, is told the same as the rows say."""

    class Failing(Gate):
        async def run(self, request, report):
            result = await super().run(request, report)
            return msgspec.structs.replace(result, exit_code=3, cause=Cause.COMMAND_FAILED)

    worker = Failing()
    mine, theirs = open_manager(worker), open_manager()
    told: list[Event] = []
    how = options(tmp_path, concurrency=1, retries=0, on_event=told.append)
    job = await mine.submit(make_spec(2, id="j", frames=8), how)
    reader = Reader(theirs, job)
    await reader.until(ChunkStarted, index=0)
    worker.reports[0].frames_done(6)
    await reader.until(Progressed, percent=37.5)
    worker.let(0)
    await reader.end()
    for events in (told, [event for _, event in reader.told]):
        last = [event for event in events if isinstance(event, Progressed)][-1]
        assert (last.frames_done, last.percent) == (0.0, 0.0)
    assert (await theirs.get(job)).metrics.frames_done == 0.0


async def test_who_comes_back_in_the_middle_is_told_of_frames_at_once(
    open_manager, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("heliostat.executor.execution.PERSIST_EVERY", 0.05)
    worker = Gate()
    mine, theirs = open_manager(worker), open_manager()
    job = await mine.submit(make_spec(4, id="j", frames=10), options(tmp_path, concurrency=1))
    first = Reader(theirs, job)
    worker.let(0, 1)
    await first.until(ChunkStarted, index=2)
    await first.leave()
    worker.reports[2].frames_done(5)
    last = next(event_id for event_id, _ in reversed(first.told) if event_id)
    second = Reader(theirs, job, last)
    await second.until(Progressed, frames_done=25.0, percent=62.5, completed_chunks=2, total_frames=40)
    assert second.journaled == []
    worker.let(2, 3)
    await second.end()
    whole = [pair async for pair in mine.events(job) if pair[0]]
    assert [pair for pair in (*first.told, *second.told) if pair[0]] == whole


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_a_pending_job_that_is_cancelled_tells_nothing(open_manager, make_spec: MakeSpec):
    manager = open_manager()
    job = await manager.submit(make_spec(1))
    reader = Reader(manager, job)
    await asyncio.sleep(0)
    await manager.cancel(job)
    assert await reader.end() == []


@pytest.mark.parametrize("how", ["pause", "cancel"])
async def test_reading_ends_with_a_pause_and_with_a_cancel_and_goes_on_from_there(
    open_manager, make_spec: MakeSpec, tmp_path: Path, how: str
):
    worker = Gate()
    manager = open_manager(worker)
    job = await manager.submit(make_spec(4, id="j"), options(tmp_path, concurrency=1))
    reader = Reader(manager, job)
    await reader.until(ChunkStarted, index=0)
    await getattr(manager, how)(job)
    worker.let(0)
    told = await reader.end()
    assert isinstance(told[-1][1], JobEnded)
    assert told[-1][1].state == {"pause": JobState.PAUSED, "cancel": JobState.CANCELLED}[how]
    worker.let(*range(4))
    await manager.resume(job)
    more = Reader(manager, job, told[-1][0])
    await more.end()
    assert isinstance(more.journaled[0], JobStarted)
    assert more.told[-1][1].state is JobState.COMPLETED


async def test_a_run_that_is_about_to_begin_is_not_taken_for_the_one_before(
    open_manager, eventful, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
):
    """An adapter may take long to open; until it has, the journal ends with the run before."""
    monkeypatch.setattr("heliostat.following.POLL_EVERY", 0.01)
    manager = open_manager(ScriptedWorker(outcome))
    await eventful(manager)
    opening = asyncio.Event()

    class Slow(ScriptedWorker):
        async def __aenter__(self):
            await opening.wait()
            return await super().__aenter__()

    slow = open_manager(Slow())
    resuming = asyncio.create_task(slow.resume("j", options(tmp_path)))
    async with open_repository(url) as repository, asyncio.timeout(PATIENCE):
        lease = None
        while lease is None:
            await asyncio.sleep(0.005)
            lease = (await repository.get("j")).coordinator
        await repository.commit(Lease(job_id="j", owner=lease, ttl=60.0), Batch(job=JobChange(state=JobState.RUNNING)))
    reader = Reader(manager, "j", newest_run=True)
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert reader.told == [], "neither the run before, nor frames before there is a run"
    opening.set()
    await resuming
    await reader.end()
    assert [type(event) for event in reader.journaled] == [JobStarted, ChunkStarted, ChunkSucceeded, JobEnded]


async def test_reading_ends_when_nobody_runs_the_job_any_more(open_manager, make_spec: MakeSpec, url: str):
    manager = open_manager()
    job = await manager.submit(make_spec(2, id="j"))
    async with open_repository(url) as repository:
        lease = await repository.acquire(job, "elsewhere/1/2/3/4", 3600.0)
        await repository.commit(lease, Batch(job=JobChange(state=JobState.RUNNING)))
        reader = Reader(manager, job)
        for _ in range(10):
            await asyncio.sleep(0.01)
        await repository.release(lease)
        assert await reader.end() == []


async def test_another_job_of_the_same_id_is_not_taken_for_it(open_manager, make_spec: MakeSpec):
    manager = open_manager()
    await manager.submit(make_spec(2, id="j"))
    reader = Reader(manager, "j")
    await asyncio.sleep(0.05)
    await manager.delete("j")
    await manager.submit(make_spec(3, id="j"))
    with pytest.raises(errors.JobNotFound, match="job j was deleted"):
        await reader.end()


async def test_a_reader_that_leaves_leaves_nothing_behind(open_manager, make_spec: MakeSpec, tmp_path: Path):
    worker = Gate()
    manager = open_manager(worker)
    job = await manager.submit(make_spec(2, id="j"), options(tmp_path))
    for _ in range(3):
        async with aclosing(manager.events(job)) as events:
            async for _, event in events:
                if isinstance(event, ChunkStarted):
                    break
    assert not manager._bells._bells
    worker.let(0, 1)
    assert (await manager.wait(job)).state is JobState.COMPLETED
