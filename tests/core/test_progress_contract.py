"""The progress contract, P1 to P6, under random schedules: outcomes of every cause, in any order, with callbacks that
are slow, raise or hang, and with a pause or a cancel at any step; and beside it a reader of the job's events that goes
away and comes back at any of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from contextlib import aclosing
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliostat import (
    AttemptState,
    Chunk,
    ChunkProgressed,
    ChunkResult,
    ChunkState,
    Event,
    JobExecutionOptions,
    JobExecutor,
    JobManager,
    JobSpec,
    JobState,
    Metadata,
    Progressed,
    errors,
    open_repository,
)
from heliostat.executor.execution import chunk_indexes
from heliostat.testing.scripted import ScriptedWorker

FAILURES: dict[str, Any] = {
    "exit": ChunkResult(exit_code=1, duration=0.0),
    "timed_out": errors.TimedOut("t"),
    "stalled": errors.Stalled("s"),
    "out_of_memory": errors.OutOfMemory("m"),
    "bad_output": errors.BadOutput("b"),
    "worker_lost": errors.WorkerLost("w"),
    "throttled": errors.Throttled(retry_after=0.0),
    "raised": ValueError("v"),
    "stale": ChunkResult(exit_code=0, duration=0.0, attempt_id="of another attempt"),
    "garbled": "what?",
}
FATAL = {"misconfigured": errors.Misconfigured("no")}
CALLBACKS = ["plain", "coroutine", "raises", "coroutine raises", "slow", "coroutine slow", "hangs", "coroutine hangs"]

plans = st.fixed_dictionaries(
    {
        "chunks": st.integers(0, 10),
        "concurrency": st.integers(1, 5),
        "retries": st.integers(0, 3),
        "fail_fast": st.booleans(),
        "callback": st.sampled_from(CALLBACKS),
        "outcomes": st.dictionaries(
            st.tuples(st.integers(0, 9), st.integers(1, 3)), st.sampled_from([*FAILURES, *FATAL]), max_size=12
        ),
        "steps": st.lists(st.integers(0, 6), min_size=1, max_size=7),
        "sink": st.booleans(),
        "visits": st.lists(st.integers(1, 9), min_size=1, max_size=5),
        "intervene": st.none() | st.tuples(st.sampled_from(["pause", "cancel"]), st.integers(0, 25)),
    }
)


class Callback:
    """Records calls, checks that they never overlap, and misbehaves as told."""

    def __init__(self, kind: str, manager: JobManager) -> None:
        self.calls: list[tuple[int, int]] = []
        self.behind: list[tuple[int, int]] = []
        self.overlapped = False
        self.release = threading.Event()
        self.inside = 0
        self._kind = kind
        self._manager = manager
        self.function: Any = self.coroutine if kind.startswith("coroutine") else self.plain

    def _enter(self, completed: int, total: int) -> None:
        self.inside += 1
        self.overlapped = self.overlapped or self.inside != 1
        self.calls.append((completed, total))

    def plain(self, completed: int, total: int) -> None:
        self._enter(completed, total)
        try:
            if self._kind == "hangs" and completed == 2:
                self.release.wait()
            if self._kind == "slow":
                time.sleep(0.003)
            if self._kind == "raises":
                raise RuntimeError("from a callback")
        finally:
            self.inside -= 1

    async def coroutine(self, completed: int, total: int) -> None:
        self._enter(completed, total)
        try:
            if not self.hangs:  # else a look at the repository of a busy machine would be taken for the hanging call
                status = await self._manager.get("job")
                if status.completed_chunks < completed:
                    self.behind.append((completed, status.completed_chunks))
            if self._kind == "coroutine hangs" and completed == 2:
                await asyncio.Event().wait()
            if self._kind == "coroutine slow":
                await asyncio.sleep(0.003)
            if self._kind == "coroutine raises":
                raise RuntimeError("from a callback")
        finally:
            self.inside -= 1

    @property
    def hangs(self) -> bool:
        return "hangs" in self._kind


class Visitor:
    """Reads a job's events, goes away after so many of its journal, and comes back with the id of the last one."""

    def __init__(self, manager: JobManager, visits: list[int]) -> None:
        self.told: list[tuple[str, Event]] = []
        self._manager = manager
        self._visits = cycle(visits)

    async def read(self) -> None:
        """Until the events end."""
        for length in self._visits:
            last = self.told[-1][0] if self.told else None
            heard = 0
            async with aclosing(self._manager.events("job", last)) as events:
                async for event_id, event in events:
                    if event_id is None:
                        continue
                    self.told.append((event_id, event))
                    heard += 1
                    if heard == length:
                        break
                else:
                    return


def spec_of(count: int) -> JobSpec:
    return JobSpec(
        id="job",
        metadata=Metadata(total_frames=count * 2, fps=Fraction(24)),
        chunks=tuple(
            Chunk(id=n, start_frame=2 * n, frame_count=2, output_file=f"{n}.out", command=("true",))
            for n in range(count)
        ),
    )


async def check(url: str, plan: dict[str, Any], job_dir: Path) -> None:
    accepted: Counter[object] = Counter()
    interventions = [plan["intervene"]]

    def script(request: Any) -> Any:
        if plan["intervene"] and interventions[0] and len(worker.started) > interventions[0][1]:
            how, _ = interventions.pop()
            interventions.append(None)
            asking.append(asyncio.ensure_future(getattr(manager, how)("job")))
        outcome = plan["outcomes"].get((request.chunk.id, request.attempt))
        return {**FAILURES, **FATAL}[outcome] if outcome else None

    asking: list[asyncio.Future[Any]] = []
    steps = plan["steps"]
    worker = ScriptedWorker(
        script, steps=lambda request: steps[(int(request.chunk.id) * 7 + request.attempt) % len(steps)]
    )
    async with open_repository(url) as repository:
        patience = 0.1 if "hangs" in plan["callback"] else 10.0
        manager = JobManager(repository, JobExecutor(worker, observer_patience=patience))
        callback = Callback(plan["callback"], manager)
        visitor, sunk = Visitor(manager, plan["visits"]), []
        options = JobExecutionOptions(
            concurrency=plan["concurrency"],
            retries=plan["retries"],
            retry_delay=0.0,
            fail_fast=plan["fail_fast"],
            job_dir=job_dir,
            on_progress=callback.function,
            on_event=sunk.append if plan["sink"] else None,
        )
        total = plan["chunks"]
        await manager.submit(spec_of(total), options)
        told_before = 0
        for _ in range(60):
            reading = asyncio.create_task(visitor.read())
            try:
                status = await manager.wait("job")
                for ask in asking:
                    await asyncio.gather(ask, return_exceptions=True)
                committed = status.completed_chunks
                await verify(repository, callback, told_before, committed, total, accepted, status.state)
                await reading
                whole = [(event_id, event) async for event_id, event in manager.events("job") if event_id]
                assert visitor.told == whole, "none is left out and none is told twice"
                if plan["sink"]:
                    told = [event for event in sunk if not isinstance(event, ChunkProgressed | Progressed)]
                    assert [event for _, event in whole] == told, "and these are what a sink is told"
                if status.state is JobState.COMPLETED:
                    break
                if callback.hangs:  # the next run gets a callback that may hang at its own second call
                    callback.release.set()
                    while callback.inside:  # the call that was given up on may take a moment to notice
                        await asyncio.sleep(0.001)
                    told_before, callback.calls = committed, []
                    callback.release = threading.Event()
                worker.started.clear()
                await manager.resume("job")
            finally:
                callback.release.set()
                reading.cancel()
        else:
            raise AssertionError("the job never completes")
        assert committed == total
        assert status.progress == 100
        assert status.error is None
        assert worker.most_at_once <= plan["concurrency"]
        await manager.close()


async def verify(repository, callback, told_before, committed, total, accepted, state) -> None:
    calls = list(callback.calls)
    # P1, P2: once for each committed chunk, rising by one, never past the total; a hanging callback's are cut short.
    expected = [(n, total) for n in range(told_before + 1, committed + 1)]
    assert calls == (expected[: len(calls)] if callback.hangs else expected)
    if callback.hangs and len(calls) < len(expected):
        assert calls[-1][0] == 2, "only the call that hung is given up on"
    assert not callback.overlapped
    # P4: the repository was never behind.
    assert not callback.behind
    # P1 in the rows: as many succeeded chunks as were reported, each with one accepted attempt and a position.
    chunks = await repository.chunks("job", state=ChunkState.SUCCEEDED)
    assert sorted(chunk.position for chunk in chunks) == list(range(1, committed + 1))
    succeeded = Counter(a.index for a in await repository.attempts("job", state=AttemptState.SUCCEEDED))
    assert set(succeeded.values()) <= {1}
    assert set(succeeded) == {chunk.index for chunk in chunks}
    assert accepted <= succeeded, "what was committed stays committed"
    accepted.update(succeeded - accepted)
    assert not await repository.attempts("job", state=AttemptState.RUNNING)
    assert state in (JobState.COMPLETED, JobState.FAILED, JobState.PAUSED, JobState.CANCELLED)
    # P6: quiet afterwards.
    for _ in range(3):
        await asyncio.sleep(0)
    assert callback.calls == calls


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=plans)
def test_the_contract_holds_in_memory(plan: dict[str, Any], tmp_path_factory: pytest.TempPathFactory):
    asyncio.run(asyncio.wait_for(check("memory:", plan, tmp_path_factory.getbasetemp()), 10))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=plans)
def test_the_contract_holds_in_a_database(plan: dict[str, Any], tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("job")
    asyncio.run(check(f"sqlite:///{folder / 'jobs.db'}", plan, folder))


@pytest.mark.parametrize("url", ["memory:", "sqlite:///{}/jobs.db"])
async def test_ten_thousand_chunks(url: str, tmp_path: Path):
    calls: list[int] = []
    worker = ScriptedWorker(lambda r: FAILURES["exit"] if r.chunk.id % 50 == 0 and r.attempt == 1 else None)
    async with JobManager(open_repository(url.format(tmp_path)), JobExecutor(worker)) as manager:
        await manager.submit(
            spec_of(10_000),
            JobExecutionOptions(
                concurrency=50, retry_delay=0.0, job_dir=tmp_path, on_progress=lambda done, total: calls.append(done)
            ),
        )
        status = await manager.wait("job")
        assert status.state is JobState.COMPLETED
        assert calls == list(range(1, 10_001))
        assert status.metrics.retries == 200


def test_chunk_ids_given_as_text_find_their_chunks():
    assert chunk_indexes(spec_of(5), ["3", 1]) == {1, 3}
