"""One reader for all who listen to a job, and nobody told less or more for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from heliostat import ChunkResult, JobExecutionOptions, JobExecutor, JobManager, JobSpec, open_repository
from heliostat.studio import feed as feeds_module
from heliostat.studio.feed import Feeds, encode
from heliostat.testing.scripted import ScriptedWorker

PATIENCE = 60.0
MakeSpec = Callable[..., JobSpec]


class Counting(JobManager):
    """Counts who reads a job's events."""

    readers = 0

    def events(self, *arguments: Any, **more: Any) -> Any:
        self.readers += 1
        return super().events(*arguments, **more)


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Counting]:
    worker = ScriptedWorker(lambda request: ChunkResult(exit_code=0, duration=0.0))
    async with Counting(open_repository(f"sqlite:///{tmp_path}/jobs.db"), JobExecutor(worker)) as one:
        yield one


@pytest.fixture
async def feeds(manager: Counting) -> AsyncIterator[Feeds]:
    made = Feeds(manager)
    yield made
    await made.close()


async def story(manager: JobManager, job_id: str) -> bytes:
    """What there is to be told, as it is told."""
    return b"".join([encode(name, event) async for name, event in manager.events(job_id) if name is not None])


def kept(stream: bytes) -> bytes:
    """Without what is of the moment."""
    return b"".join(block + b"\n\n" for block in stream.split(b"\n\n") if block.startswith(b"id: "))


async def hear(
    feeds: Feeds,
    job_id: str,
    after: str | None = None,
    *,
    until: bytes = b"event: job_ended",
    into: bytearray | None = None,
) -> bytes:
    heard = bytearray() if into is None else into
    async with asyncio.timeout(PATIENCE), aclosing(feeds.follow(job_id, after)) as batches:
        async for batch in batches:
            heard += batch
            if until in heard:
                break
    return bytes(heard)


async def submit(manager: JobManager, spec: JobSpec, tmp_path: Path, *, start: bool = True) -> str:
    return await manager.submit(spec, JobExecutionOptions(job_dir=tmp_path, concurrency=4), start=start)


async def test_many_listeners_cost_one_reader(
    manager: Counting, feeds: Feeds, make_spec: MakeSpec, tmp_path: Path
) -> None:
    job_id = await submit(manager, make_spec(500), tmp_path, start=False)
    listeners = [asyncio.create_task(hear(feeds, job_id)) for _ in range(50)]
    while feeds.listeners < 50:
        await asyncio.sleep(0)
    await manager.start(job_id)
    heard = await asyncio.gather(*listeners)
    assert manager.readers <= 3, "the one, begun anew when the run has ended"
    assert feeds.listeners == 0
    whole = await story(manager, job_id)
    assert {kept(one) for one in heard} == {whole}


@pytest.mark.parametrize("events", [1, 10, 100_000])
@pytest.mark.parametrize("size", [1, 4 << 20])
async def test_whoever_comes_late_or_lags_reads_itself_until_it_meets_the_others(
    events: int,
    size: int,
    manager: Counting,
    feeds: Feeds,
    make_spec: MakeSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeds_module, "KEPT_EVENTS", events)
    monkeypatch.setattr(feeds_module, "KEPT_BYTES", size)
    monkeypatch.setattr(feeds_module, "PACE", 0.001)
    monkeypatch.setattr(feeds_module, "BATCH", 2000)
    job_id = await submit(manager, make_spec(300), tmp_path)
    early = asyncio.create_task(hear(feeds, job_id))
    async for status in manager.watch(job_id):
        if status.completed_chunks > 100:
            break
    late = await hear(feeds, job_id)
    whole = await story(manager, job_id)
    assert kept(late) == kept(await early) == whole
    ids = [line[4:].decode() for line in whole.splitlines() if line.startswith(b"id: ")]
    for place in (0, 1, len(ids) // 2, len(ids) - 2):
        rest = kept(await hear(feeds, job_id, ids[place]))
        assert rest == b"".join(block + b"\n\n" for block in whole.split(b"\n\n")[place + 1 : -1])


async def test_a_replay_ends_with_what_there_is(
    manager: Counting, feeds: Feeds, make_spec: MakeSpec, tmp_path: Path
) -> None:
    job_id = await submit(manager, make_spec(20), tmp_path, start=False)
    assert [batch async for batch in feeds.replay(job_id, None)] == []
    await manager.start(job_id)
    await manager.wait(job_id)
    assert b"".join([batch async for batch in feeds.replay(job_id, None)]) == await story(manager, job_id)


@pytest.mark.parametrize("again", [False, True])
async def test_a_job_that_is_deleted_is_told_and_another_of_its_id_is_not_taken_for_it(
    again: bool, manager: Counting, feeds: Feeds, make_spec: MakeSpec, tmp_path: Path
) -> None:
    job_id = await submit(manager, make_spec(3, id="same"), tmp_path)
    await manager.wait(job_id)
    so_far = bytearray()
    listening = asyncio.create_task(hear(feeds, job_id, until=b"event: job_deleted", into=so_far))
    while b"event: job_ended" not in so_far:
        assert not listening.done()
        await asyncio.sleep(0.01)
    whole = await story(manager, job_id)
    await manager.delete(job_id)
    if again:
        await submit(manager, make_spec(3, id="same"), tmp_path)
    heard = await listening
    assert kept(heard) == whole
    assert heard.endswith(b"}\n\n")
    assert heard.count(b"event: job_deleted\n") == 1


async def test_closing_ends_every_stream(manager: Counting, feeds: Feeds, make_spec: MakeSpec, tmp_path: Path) -> None:
    job_id = await submit(manager, make_spec(3), tmp_path, start=False)
    listeners = [asyncio.create_task(hear(feeds, job_id)) for _ in range(3)]
    while feeds.listeners < 3:
        await asyncio.sleep(0)
    await feeds.close()
    assert await asyncio.wait_for(asyncio.gather(*listeners), PATIENCE) == [b"", b"", b""]


async def test_who_hears_nothing_for_long_is_told_just_that(
    manager: Counting, feeds: Feeds, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds_module, "QUIET", 0.01)
    job_id = await submit(manager, make_spec(3), tmp_path, start=False)
    assert b"\n: keep-alive\n\n" in b"\n" + await hear(feeds, job_id, until=b"keep-alive\n\n")
