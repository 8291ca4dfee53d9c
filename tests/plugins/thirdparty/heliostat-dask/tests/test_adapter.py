"""What the adapter promises beyond the contract, on real clusters."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, KilledWorker
from heliostat_dask.foreign import mapped

from heliostat import (
    Chunk,
    ChunkRequest,
    ChunkResult,
    JobExecutionOptions,
    JobExecutor,
    JobSpec,
    JobState,
    Metadata,
    open_worker,
)
from heliostat.errors import Misconfigured, WorkerLost
from heliostat.testing import asynchronous
from heliostat.worker import encode_request

HOLD = 'echo $$ $PPID > "began/$HELIOSTAT_CHUNK-$HELIOSTAT_ATTEMPT-$$"; exec sleep 1000'
"""A command that says who it and its parent are, and stays."""


class Silent:
    """A report that nobody reads."""

    def frames_done(self, frames: float, /) -> None: ...

    def log(self, stream: str, text: str, /) -> None: ...

    def heartbeat(self) -> None: ...


class Place:
    """A job directory, and the processes that told there that they began."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "began").mkdir(parents=True)
        self._attempts = 0

    def request(self, script: str, output: str = "") -> ChunkRequest:
        self._attempts += 1
        return ChunkRequest(
            job_id="job",
            chunk=Chunk(id=0, start_frame=0, frame_count=1, output_file=output, command=("sh", "-c", script)),
            attempt=1,
            attempt_id=f"attempt {self._attempts}",
            command=["sh", "-c", script],
            job_dir=str(self.folder),
        )

    def began(self) -> list[tuple[int, int]]:
        """Process ids of the commands and of their parents."""
        said = (file.read_text().split() for file in (self.folder / "began").iterdir())
        return [(int(pids[0]), int(pids[1])) for pids in said if len(pids) == 2]

    async def one_began(self, count: int = 1) -> list[tuple[int, int]]:
        await until(lambda: len(self.began()) >= count)
        return self.began()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "job")
    yield place
    for pid, _ in place.began():
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


async def until(condition: Callable[[], bool]) -> None:
    """The test's own timeout is the limit."""
    while not condition():
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def dask(cluster: Any, **options: Any) -> Any:
    return open_worker("dask", scheduler=cluster.address, **options)


async def known_tasks(client: Client) -> int:
    """How many tasks the scheduler knows."""
    return int(await client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))


async def until_known(client: Client, tasks: int) -> None:
    while await known_tasks(client) != tasks:
        await asyncio.sleep(0.01)


# --- a worker that dies ----------------------------------------------------------------------------------------------


@asynchronous
async def test_a_job_survives_the_death_of_a_worker(cluster: Any, place: Place) -> None:
    """The commands of the dead worker end with it, no attempt begins twice, and progress is exact."""
    # Of the first attempts some wait for a file, so that the worker is killed in the middle of them.
    script = (
        'echo $$ $PPID > "began/$HELIOSTAT_CHUNK-$HELIOSTAT_ATTEMPT-$$";'
        'if [ $(($HELIOSTAT_CHUNK % 4)) = 3 ] && [ "$HELIOSTAT_ATTEMPT" = 1 ]; then'
        " while [ ! -e go ]; do sleep 0.05; done; fi;"
        'echo "$HELIOSTAT_CHUNK" > "$HELIOSTAT_OUTPUT"'
    )
    spec = JobSpec(
        metadata=Metadata(total_frames=30, fps=Fraction(24)),
        chunks=tuple(
            Chunk(id=index, start_frame=index, frame_count=1, output_file=f"{index}.txt", command=("sh", "-c", script))
            for index in range(30)
        ),
    )
    told: list[tuple[int, int]] = []
    job = asyncio.create_task(
        JobExecutor(dask(cluster)).execute(
            spec,
            JobExecutionOptions(
                job_dir=place.folder,
                concurrency=6,
                retry_delay=0.0,
                on_progress=lambda completed, total: told.append((completed, total)),
            ),
        )
    )
    # Chunks 3, 7, … 23 hold the six slots in the end; the 18 others before them are done.
    await until(lambda: len(told) == 18 and sum(is_alive(pid) for pid, _ in place.began()) == 6)
    running = [(pid, parent) for pid, parent in place.began() if is_alive(pid)]
    killed = running[0][1]
    cluster.kill_worker(killed)
    lost = [pid for pid, parent in running if parent == killed]
    await until(lambda: not any(is_alive(pid) for pid in lost))
    (place.folder / "go").touch()
    result = await job
    cluster.start_worker(wait=False)
    assert result.state is JobState.COMPLETED
    assert told == [(completed, 30) for completed in range(1, 31)]
    assert result.metrics.failures == {"worker_lost": len(lost)}
    assert result.metrics.attempts == 30 + len(lost) == len(place.began())


@pytest.mark.parametrize("allowed", [0, 3])
@asynchronous
async def test_an_attempt_is_lost_with_its_worker_however_often_dask_would_try(
    cluster: Any, place: Place, allowed: int
) -> None:
    """Other workers are free, and Dask starts the task there again by itself."""

    def allow(failures: int, dask_scheduler: Any) -> None:
        dask_scheduler.allowed_failures = failures

    async with Client(cluster.address, asynchronous=True, set_as_default=False) as client:
        await client.run_on_scheduler(allow, allowed)
        async with dask(cluster) as adapter:
            attempt = asyncio.create_task(adapter.run(place.request(HOLD), Silent()))
            ((pid, parent),) = await place.one_began()
            cluster.kill_worker(parent)
            cluster.start_worker(wait=False)
            with pytest.raises(WorkerLost, match="Dask"):
                await attempt
            await until(lambda: not is_alive(pid))
            await until_known(client, 0)  # also the second start has come to its end
        assert place.began() == [(pid, parent)]
        await client.run_on_scheduler(allow, 3)


@asynchronous
async def test_a_worker_that_leaves_in_good_order_ends_its_attempts(cluster: Any, place: Place) -> None:
    async with Client(cluster.address, asynchronous=True, set_as_default=False) as client, dask(cluster) as adapter:
        attempt = asyncio.create_task(adapter.run(place.request(HOLD), Silent()))
        ((pid, parent),) = await place.one_began()
        (address,) = [address for address, worker in (await client.run(os.getpid)).items() if worker == parent]
        await client.retire_workers(workers=[address])
        with pytest.raises(WorkerLost):
            await attempt
        await until(lambda: not is_alive(pid))
        cluster.kill_worker(parent)
        cluster.start_worker(wait=False)


@asynchronous
async def test_a_scheduler_that_dies_ends_attempts_and_a_new_one_is_found(
    own_cluster: Any, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliostat_dask.cluster.CONNECT_PATIENCE", 1.0)
    worker = own_cluster.start_worker()
    async with dask(own_cluster) as adapter:
        attempt = asyncio.create_task(adapter.run(place.request(HOLD), Silent()))
        ((pid, _),) = await place.one_began()
        port = int(own_cluster.address.rpartition(":")[2])
        own_cluster.kill_scheduler()
        with pytest.raises(WorkerLost):
            await attempt
        await until(lambda: not is_alive(pid))
        message = ""
        while "no Dask scheduler answers" not in message:  # Dask itself tries for a while
            with pytest.raises(WorkerLost) as lost:
                await adapter.run(place.request("true"), Silent())
            message = str(lost.value)
        own_cluster.kill_worker(worker)
        own_cluster.start_scheduler(port)
        own_cluster.start_worker()
        assert (await adapter.run(place.request("true"), Silent())).exit_code == 0


# --- cancelling ------------------------------------------------------------------------------------------------------


@asynchronous
async def test_a_cancelled_attempt_that_waits_never_begins(own_cluster: Any, place: Place) -> None:
    """Without workers attempts wait, as Dask's users expect."""
    async with (
        Client(own_cluster.address, asynchronous=True, set_as_default=False) as client,
        dask(own_cluster) as adapter,
    ):
        first = asyncio.create_task(adapter.run(place.request(HOLD), Silent()))
        await until_known(client, 1)
        second = asyncio.create_task(adapter.run(place.request("echo 2 > 2.txt", "2.txt"), Silent()))
        await until_known(client, 2)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await until_known(client, 1)
        own_cluster.start_worker()
        result = await second
        assert (result.exit_code, [output.path for output in result.outputs]) == (0, ["2.txt"])
        assert place.began() == []


@asynchronous
async def test_a_cancellation_wins_at_any_moment_of_the_start(cluster: Any, place: Place) -> None:
    """Also one that reaches the scheduler before the task does. In the end no command is left, nor any task."""
    async with Client(cluster.address, asynchronous=True, set_as_default=False) as client:
        async with dask(cluster, grace=0.0) as adapter:
            for turns in range(40):
                attempt = asyncio.create_task(adapter.run(place.request(HOLD), Silent()))
                for _ in range(turns):
                    await asyncio.sleep(0)
                attempt.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await attempt
            last = asyncio.create_task(adapter.run(place.request("true"), Silent()))
            assert (await last).exit_code == 0
        await until_known(client, 0)
        await until(lambda: not any(is_alive(pid) for pid, _ in place.began()))


@asynchronous
async def test_a_command_gets_its_grace_and_its_end_is_waited_for(cluster: Any, place: Place) -> None:
    script = "trap 'sleep 0.3; echo tidy > tidied; exit' TERM;echo $$ $PPID > \"began/0\"; while :; do sleep 0.05; done"
    async with dask(cluster) as adapter:
        attempt = asyncio.create_task(adapter.run(place.request(script), Silent()))
        ((pid, _),) = await place.one_began()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert (place.folder / "tidied").read_text() == "tidy\n"
        assert not is_alive(pid)


@asynchronous
async def test_cancelling_one_attempt_leaves_the_results_of_others_alone(cluster: Any, place: Place) -> None:
    """Dask fetches many results with one call."""
    async with dask(cluster) as adapter:
        for _ in range(5):
            attempts = [asyncio.create_task(adapter.run(place.request("true"), Silent())) for _ in range(20)]
            _, waiting = await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
            cancelled = list(waiting)[::2]
            for attempt in cancelled:
                attempt.cancel()
            ended = await asyncio.gather(*attempts, return_exceptions=True)
            kept = [result for attempt, result in zip(attempts, ended, strict=True) if attempt not in cancelled]
            assert len(kept) + len(cancelled) == 20
            assert all(isinstance(result, ChunkResult) and result.exit_code == 0 for result in kept)


@asynchronous
async def test_no_command_outlives_its_coordinator(cluster: Any, place: Place) -> None:
    program = """if True:
        import asyncio, sys
        from heliostat import open_worker
        from heliostat.worker import decode_request

        class Silent:
            def heartbeat(self): pass

        async def main():
            async with open_worker("dask", scheduler=sys.argv[1]) as adapter:
                await adapter.run(decode_request(sys.argv[2].encode()), Silent())

        asyncio.run(main())
    """
    request = encode_request(place.request(HOLD)).decode()
    coordinator = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cluster.address, request)
    ((pid, parent),) = await place.one_began()
    coordinator.kill()
    await coordinator.wait()
    await until(lambda: not is_alive(pid))
    assert is_alive(parent), "the Dask worker lives on"


# --- reports ---------------------------------------------------------------------------------------------------------


@asynchronous
async def test_all_reports_arrive_before_the_result(cluster: Any, place: Place) -> None:
    class Heard(Silent):
        def __init__(self) -> None:
            self.lines: list[str] = []
            self.beats = 0

        def log(self, stream: str, text: str, /) -> None:
            assert stream == "stdout"
            self.lines += text.splitlines()

        def heartbeat(self) -> None:
            self.beats += 1

    async with dask(cluster) as adapter:
        reports = [Heard() for _ in range(10)]
        await asyncio.gather(*(adapter.run(place.request("seq 1 500"), report) for report in reports))
        for report in reports:
            assert report.lines == [str(number) for number in range(1, 501)]
            assert report.beats >= 1


# --- what is wrong, and what to do -----------------------------------------------------------------------------------


def nobody() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize("address", [nobody(), "127.0.0.1", "smoke://signals:1"])
@asynchronous
async def test_a_scheduler_that_is_not_there_is_one_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliostat_dask.cluster.CONNECT_PATIENCE", 0.5)
    with pytest.raises(Misconfigured) as refused:
        async with open_worker("dask", scheduler=address):
            pass
    message = str(refused.value)
    assert address in message
    assert "dask scheduler" in message
    assert "\n" not in message


@asynchronous
async def test_connecting_can_be_cancelled() -> None:
    """What is left of it would be a warning, and so an error."""
    opening = asyncio.create_task(open_worker("dask", scheduler=nobody()).__aenter__())
    connecting = {opening}
    while len(connecting) < 2:  # Dask's task that tries to connect
        await asyncio.sleep(0)
        connecting = asyncio.all_tasks() - {asyncio.current_task()}
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


@asynchronous
async def test_workers_without_the_plugin_are_one_sentence(own_cluster: Any, place: Place) -> None:
    """The scheduler needs it as little as heliostat."""
    own_cluster.kill_scheduler()
    own_cluster.start_scheduler(without=("heliostat", "heliostat_dask"))
    worker = own_cluster.start_worker(without=("heliostat_dask",))
    async with dask(own_cluster) as adapter:
        with pytest.raises(Misconfigured, match="install the same heliostat and heliostat-dask there") as refused:
            await adapter.run(place.request("true"), Silent())
        assert "\n" not in str(refused.value)
        assert is_alive(worker)
        own_cluster.kill_worker(worker)
        own_cluster.start_worker()
        assert (await adapter.run(place.request("true"), Silent())).exit_code == 0


@asynchronous
async def test_attempts_at_once_follow_the_clusters_threads(cluster: Any) -> None:
    async with Client(cluster.address, asynchronous=True, set_as_default=False) as client:
        threads = sum((await client.nthreads()).values())
        async with dask(cluster) as adapter:
            assert adapter.limits.default_concurrency == threads >= 16
        async with dask(cluster, slots=3) as adapter:
            assert adapter.limits.default_concurrency == 3


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (KilledWorker("task", SimpleNamespace(address="tcp://127.0.0.1:1"), 3), WorkerLost),
        (CancelledError("restarted"), WorkerLost),
        (OSError("connection reset"), WorkerLost),
        (ModuleNotFoundError("No module named 'heliostat_dask'"), Misconfigured),
    ],
)
def test_errors_of_dask_have_causes(error: Exception, cause: type[Exception]) -> None:
    assert type(mapped(error)) is cause
    assert "\n" not in str(mapped(error))
