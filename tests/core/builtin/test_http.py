"""The worker adapter `http`, on processes of `heliostat worker serve`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heliostat import Cause, Chunk, ChunkRequest, JobState, open_worker
from heliostat.builtin.http import adapter
from heliostat.builtin.http.token import find_token
from heliostat.errors import Misconfigured, SpecError, Throttled
from heliostat.testing import RunningCommand, WorkerAdapterContract, WorkerUnderTest
from heliostat.testing.meeting import Meeting
from heliostat.testing.trial import Trial, film
from heliostat.worker import WorkerClient

SLOTS = 25
TOKEN = secrets.token_urlsafe(16)


@pytest.fixture(scope="module")
def machines(
    served_worker: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], list[Any]]]:
    """Two workers that share nothing with the coordinator but a store. One that a test has killed is started again."""
    folder = tmp_path_factory.mktemp("machines")
    found: list[Any] = []

    def living() -> list[Any]:
        for number in range(2):
            if number == len(found):
                found.append(None)
            if found[number] is None or not found[number].alive:
                if found[number] is not None:
                    found[number].close()
                port = 0 if found[number] is None else found[number].port
                found[number] = served_worker(
                    *("-n", SLOTS, "--grace", 0.5), directory=folder / str(number), token=TOKEN, port=port
                )
        return found

    yield living
    for machine in found:
        machine.close()


@contextlib.asynccontextmanager
async def client_of(machine: Any) -> AsyncIterator[WorkerClient]:
    async def authorise() -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}

    async with WorkerClient(machine.url, authorise) as client:
        yield client


class Crowd:
    """Takes every slot of the machines until one of them has refused a chunk for that."""

    def __init__(self, machines: list[Any], folder: Path) -> None:
        self._machines = machines
        self._folder = folder
        self._watching: asyncio.Task[None] | None = None

    async def come(self) -> None:
        self._watching = asyncio.create_task(self._stay())
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(machine)) for machine in self._machines]
            while any([(await client.info()).running < SLOTS for client in clients]):
                await asyncio.sleep(0.01)

    async def _stay(self) -> None:
        command = ["sh", "-c", "while [ ! -e go ]; do sleep 0.05; done"]
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(machine)) for machine in self._machines]
            before = [(await client.info()).refused for client in clients]
            guests = [
                asyncio.create_task(client.run(self._request(f"{place}-{number}", command), Silence()))
                for place, client in enumerate(clients)
                for number in range(SLOTS)
            ]
            while [(await client.info()).refused for client in clients] == before:
                await asyncio.sleep(0.01)
            (self._folder / "go").touch()
            await asyncio.gather(*guests)

    def _request(self, attempt_id: str, command: list[str]) -> ChunkRequest:
        chunk = Chunk(id=attempt_id, start_frame=0, frame_count=1, output_file="", command=tuple(command))
        return ChunkRequest(
            job_id="crowd", chunk=chunk, attempt=1, attempt_id=attempt_id, command=command, job_dir=str(self._folder)
        )


class Silence:
    """A ChunkReport that nobody listens to."""

    def frames_done(self, frames: float, /) -> None: ...
    def log(self, stream: str, text: str, /) -> None: ...
    def heartbeat(self) -> None: ...


class TestHttp(WorkerAdapterContract):
    @pytest.fixture
    def under_test(
        self, machines: Callable[[], list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> WorkerUnderTest:
        monkeypatch.setenv("HELIOSTAT_WORKER_TOKEN", TOKEN)
        monkeypatch.setattr(adapter, "PATIENCE", 0.0)  # the crowd leaves as soon as one was refused

        def kill_machine(command: RunningCommand) -> None:
            (machine,) = [machine for machine in machines() if machine.pid in command.ancestors]
            os.kill(machine.pid, signal.SIGKILL)

        return WorkerUnderTest(
            "http",
            {"url": ",".join(machine.url for machine in machines()), "artifacts": f"file://{tmp_path / 'store'}"},
            fail_next={Cause.THROTTLED: Crowd(machines(), tmp_path).come},
            fail_running={Cause.WORKER_LOST: kill_machine},
        )


# --- several machines ------------------------------------------------------------------------------------------------


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HELIOSTAT_WORKER_TOKEN", TOKEN)
    return TOKEN


@pytest.fixture
def machine(served_worker: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts one that shares the job directory, by its path."""
    started: list[Any] = []

    def start(*arguments: object) -> Any:
        started.append(served_worker(*arguments, directory=tmp_path / "worker", token=TOKEN))
        return started[-1]

    yield start
    for each in started:
        each.close()


async def test_each_machine_has_as_many_chunks_at_once_as_it_has_slots(
    token: str, machine: Callable[..., Any], tmp_path: Path
) -> None:
    large, small = machine("-n", 3), machine("-n", 1)
    worker = open_worker("http", url=f"{large.url},{small.url}")
    async with Meeting("127.0.0.1") as meeting, Trial(worker, tmp_path) as trial:
        await trial.start(film(*[(meeting.step, "write=film")] * 8), concurrency=8)
        commands = [await meeting.next() for _ in range(4)]
        on_small = [command for command in commands if small.pid in command.ancestors]
        assert len(on_small) == 1
        assert worker.limits.concurrency == 4
        for command in commands:
            command.do("go")
        for _ in range(4):
            (await meeting.next()).do("go")
        status = await trial.manager.wait("job")
        assert status.state is JobState.COMPLETED, status.error
        assert status.metrics.failures == {}


async def test_a_machine_that_dies_leaves_its_chunks_to_the_others(
    token: str, machine: Callable[..., Any], tmp_path: Path
) -> None:
    first, second = machine("-n", 2), machine("-n", 2)
    worker = open_worker("http", url=f"{first.url},{second.url}")
    async with Meeting("127.0.0.1") as meeting, Trial(worker, tmp_path) as trial:
        await trial.start(film(*[(meeting.step, "write=film")] * 4), concurrency=4)
        commands = [await meeting.next() for _ in range(4)]
        os.kill(first.pid, signal.SIGKILL)
        for command in commands:
            if second.pid in command.ancestors:
                command.do("go")
        for _ in range(2):
            moved = await meeting.next()
            assert second.pid in moved.ancestors
            moved.do("go")
        status = await trial.manager.wait("job")
        assert status.state is JobState.COMPLETED, status.error
        assert status.metrics.failures[Cause.WORKER_LOST] >= 2
        assert set(status.metrics.failures) <= {Cause.WORKER_LOST, Cause.THROTTLED}


async def test_a_machine_that_cannot_be_reached_is_left_out(
    token: str, machine: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker = open_worker("http", url=f"http://127.0.0.1:1, {machine().url}")
    async with Trial(worker, tmp_path) as trial:
        assert (await trial.run(film(("write=film",)))).state is JobState.COMPLETED
    assert "a worker is left out: the connection to the worker at http://127.0.0.1:1 failed" in caplog.text


async def test_a_machine_that_others_have_filled_is_waited_for_while_the_rest_works(
    token: str, machine: Callable[..., Any], tmp_path: Path
) -> None:
    """No attempt is refused, and the first one goes to whichever has room."""
    full, free = machine("-n", 1), machine("-n", 1)
    guest = ChunkRequest(
        job_id="guest",
        chunk=Chunk(id=1, start_frame=0, frame_count=1, output_file="", command=()),
        attempt=1,
        attempt_id="guest",
        command=["sh", "-c", "touch began; while [ ! -e go ]; do sleep 0.02; done"],
        job_dir=str(tmp_path),
    )
    async with client_of(full) as client:
        running = asyncio.create_task(client.run(guest, Silence()))
        while not (tmp_path / "began").exists():
            await asyncio.sleep(0.01)
        worker = open_worker("http", url=f"{full.url},{free.url}")
        async with Meeting("127.0.0.1") as meeting, Trial(worker, tmp_path) as trial:
            await trial.start(film(*[(meeting.step, "write=film")] * 2), concurrency=2)
            first = await meeting.next()
            assert free.pid in first.ancestors
            while (await client.info()).refused < 2:  # asked, and asked again
                await asyncio.sleep(0.01)
            (tmp_path / "go").touch()
            second = await meeting.next()
            assert full.pid in second.ancestors
            for command in (first, second):
                command.do("go")
            status = await trial.manager.wait("job")
            assert status.state is JobState.COMPLETED, status.error
            assert status.metrics.failures == {}
        assert (await running).exit_code == 0


async def test_two_jobs_share_the_slots(
    token: str, machine: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "PATIENCE", 0.2)
    async with open_worker("http", url=machine("-n", 1).url) as worker:
        request = ChunkRequest(
            job_id="job",
            chunk=Chunk(id=1, start_frame=0, frame_count=1, output_file="", command=()),
            attempt=1,
            attempt_id="1",
            command=["sh", "-c", "touch began; while [ ! -e go ]; do sleep 0.02; done"],
            job_dir=str(tmp_path),
        )
        running = asyncio.create_task(worker.run(request, Silence()))
        while not (tmp_path / "began").exists():
            await asyncio.sleep(0.01)
        with pytest.raises(Throttled, match="all slots of all workers are taken"):
            await worker.run(request, Silence())
        (tmp_path / "go").touch()
        assert (await running).exit_code == 0


async def test_over_tls_with_an_authority_of_ones_own(
    token: str, machine: Callable[..., Any], certificate: Callable[[], Path], tmp_path: Path
) -> None:
    file = certificate()
    served = machine("--tls-cert", file)
    assert served.url.startswith("https://")
    async with Trial(open_worker("http", url=served.url, ca_file=str(file)), tmp_path) as trial:
        assert (await trial.run(film(("write=film",)))).state is JobState.COMPLETED
    with pytest.raises(Misconfigured, match="is not accepted"):
        await open_worker("http", url=served.url).__aenter__()


# --- what cannot work ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "http://127.0.0.1:1"}, "start one there with `heliostat worker serve`, or correct the address"),
        ({"url": "nonsense"}, "nonsense is no address"),
        ({"url": " , "}, "no worker is named; give url=http://HOST:PORT"),
        ({"url": "https://127.0.0.1:1", "ca_file": "/dev/null"}, "holds no certificates"),
        ({"url": "http://127.0.0.1:1", "token_file": "/none"}, "the token cannot be read from /none"),
    ],
)
async def test_what_cannot_work_is_told_when_it_is_opened(token: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        await open_worker("http", **options).__aenter__()


async def test_without_a_token_it_says_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HELIOSTAT_WORKER_TOKEN", raising=False)
    with pytest.raises(Misconfigured, match="no token is given; set HELIOSTAT_WORKER_TOKEN"):
        await open_worker("http", url="http://127.0.0.1:1").__aenter__()


def test_a_token_comes_from_a_file_before_the_environment(token: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("another-token-than-that\n")
    assert find_token(file) == "another-token-than-that"
    assert find_token(None) == TOKEN
    file.write_text("short")
    with pytest.raises(SpecError, match="16 or more characters"):
        find_token(file)
