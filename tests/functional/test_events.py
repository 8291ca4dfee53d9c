"""A reader of a job's events in another process than the job's, which is killed and resumed several times."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from heliostat import (
    ChunkProgressed,
    ChunkStarted,
    ChunkSucceeded,
    Event,
    JobEnded,
    JobManager,
    JobStarted,
    JobState,
    Progressed,
    errors,
    open_repository,
)
from heliostat.model.codec import from_json

KILLS = 3
CHUNKS_A_RUN = 12
CHUNKS = CHUNKS_A_RUN * (KILLS + 1)
PATIENCE = 240.0

RENDER = """
if [ $(($2 % 7)) = 3 ] && [ ! -e "tried $2" ]; then touch "tried $2"; echo "no lamp for $2" >&2; exit 3; fi
while [ ! -e "run $(($2 / 12))" ]; do sleep 0.02; done
echo "$2" > "$1"
"""


class Reader:
    """Reads on from the last event that it was told, and goes away after a few, again and again."""

    def __init__(self, url: str, job_id: str, chance: random.Random) -> None:
        self.told: list[tuple[str, Event]] = []
        self.moved = asyncio.Event()
        self._url = url
        self._job_id = job_id
        self._chance = chance

    async def read(self) -> None:
        """Until the job is completed. Each visit is a manager and a repository of its own, as after a restart."""
        while True:
            try:
                async with JobManager(open_repository(self._url)) as manager:
                    await self._visit(manager, self._chance.randint(1, 25))
                    if (await manager.get(self._job_id)).state is JobState.COMPLETED and self._at_end():
                        return
            except errors.JobNotFound:  # not yet submitted
                await asyncio.sleep(0.2)

    async def _visit(self, manager: JobManager, events: int) -> None:
        last = self.told[-1][0] if self.told else None
        async with aclosing(manager.events(self._job_id, last)) as told:
            async for event_id, event in told:
                if event_id is not None:
                    self.told.append((event_id, event))
                    self.moved.set()
                    events -= 1
                if not events:
                    return
        await asyncio.sleep(0.2)  # nobody runs it; it will be resumed

    def _at_end(self) -> bool:
        return isinstance(self.told[-1][1], JobEnded)

    async def until(self, run: int, events: int) -> None:
        """Wait until so many events of a run, counted from 0, were told."""
        while (starts := self._starts())[run:] == [] or len(self.told) < starts[run] + events:
            self.moved.clear()
            await self.moved.wait()

    def _starts(self) -> list[int]:
        return [place for place, (_, event) in enumerate(self.told) if isinstance(event, JobStarted)]


def told_in(path: Path) -> list[Event]:
    """What a sink wrote, as far as it came."""
    whole = path.read_bytes().rpartition(b"\n")[0].splitlines()
    events: list[Event] = [from_json(line, Event) for line in whole]  # type: ignore[arg-type]
    return [event for event in events if not isinstance(event, ChunkProgressed | Progressed)]


@pytest.mark.timeout(280)
async def test_none_is_lost_and_none_is_told_twice_over_kills_of_the_coordinator(tmp_path: Path):
    chance = random.Random(11)
    job = {
        "id": "film",
        "frames": CHUNKS,
        "fps": 24,
        "chunkSize": 1,
        "output": "chunks/{chunk:04d}.txt",
        "command": ["sh", "-c", RENDER, "sh", "{output}", "{chunk}"],
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    db = str(tmp_path / "jobs.db")
    url = f"sqlite:///{db}"
    reader = Reader(url, "film", chance)
    async with asyncio.timeout(PATIENCE):
        reading = asyncio.create_task(reader.read())
        sinks = [tmp_path / f"run {number}.jsonl" for number in range(KILLS + 1)]
        for number, sink in enumerate(sinks):
            (tmp_path / f"run {number}").touch()  # no run gets further than its own chunks
            command = ["resume", "film"] if number else ["render", str(tmp_path / "job.json"), "--retry-delay", "0"]
            coordinator = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "heliostat", *command, "--db", db, "-n", "3", "--progress", "none"),
                *("--sink", "json", "--sink-set", f"json.path={sink}"),
                cwd=tmp_path,
            )
            if number < KILLS:
                await reader.until(number, chance.randint(3, 20))
                coordinator.send_signal(signal.SIGKILL)
            assert await coordinator.wait() == (-signal.SIGKILL if number < KILLS else 0)
        await reading

    async with JobManager(open_repository(url)) as manager:
        whole = [(event_id, event) async for event_id, event in manager.events("film") if event_id]
    assert reader.told == whole
    assert len({event_id for event_id, _ in whole}) == len(whole)
    events = [event for _, event in whole]
    starts = [place for place, event in enumerate(events) if isinstance(event, JobStarted)]
    assert len(starts) == KILLS + 1
    runs = [events[begin:end] for begin, end in zip(starts, [*starts[1:], None], strict=True)]
    for run, sink in zip(runs, sinks, strict=True):
        told = told_in(sink)
        assert told == run[: len(told)], "the sink of a coordinator that was killed may have missed the last ones"
        assert any(isinstance(event, ChunkStarted) for event in run)
    assert told == run, "nobody killed the last one"
    positions = [event.completed_chunks for event in events if isinstance(event, ChunkSucceeded)]
    assert positions == [*range(1, CHUNKS + 1)]
