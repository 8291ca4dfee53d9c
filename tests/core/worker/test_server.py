"""A worker behind HTTP, as a process of its own: `heliostat worker serve`, and the client that the adapters use."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from heliostat import Cause, ChunkResult
from heliostat.builtin.file_artifacts import FileArtifactOptions, FileArtifactStore
from heliostat.errors import Misconfigured, Throttled, WorkerLost
from heliostat.worker import WorkerClient, WorkerInfo, WorkerServer, encode_request, relay, server
from heliostat.worker import client as client_module

Serve = Callable[..., Any]
CALLER = """
import sys
from urllib.request import Request, urlopen
url, token, body = sys.argv[1:]
urlopen(Request(url, open(body, "rb").read(), {"Authorization": f"Bearer {token}"})).read()
"""
WAITS = 'touch began; while [ ! -e go ]; do sleep 0.02; done; echo film > "$1"'


@asynccontextmanager
async def client_of(worker: Any, token: str | None = None) -> AsyncIterator[WorkerClient]:
    async def authorise() -> Mapping[str, str]:
        return {"Authorization": f"Bearer {token or worker.token}"}

    async with WorkerClient(worker.url, authorise) as client:
        yield client


def waits(request_for: Any, processes: Any, **fields: Any) -> Any:
    return request_for(["sh", "-c", WAITS, "sh", "out.bin"], env=processes.env, **fields)


async def test_a_chunk_runs_and_its_reports_come_while_it_does(
    serve_worker: Serve, request_for: Any, recorder: Any, processes: Any, tmp_path: Path, until: Any
) -> None:
    script = f"echo openjd_progress: 50; echo 'naïve ☀' >&2; {WAITS}"
    request = request_for(["sh", "-c", script, "sh", "out.bin"], env=processes.env)
    async with client_of(serve_worker()) as client:
        running = asyncio.create_task(client.run(request, recorder))
        await until(lambda: recorder.frames == [120] and recorder.logged["stderr"] == "naïve ☀\n")
        assert not running.done()
        (tmp_path / "go").touch()
        result = await running
    assert (result.exit_code, result.attempt_id) == (0, request.attempt_id)
    assert (tmp_path / "out.bin").read_text() == "film\n"
    assert recorder.heartbeats >= 1


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (["sh", "-c", "exit 3"], Cause.COMMAND_FAILED),
        (["no-such-program"], Cause.MISCONFIGURED),
        (["true"], Cause.BAD_OUTPUT),
    ],
)
async def test_failures_are_results_too(
    serve_worker: Serve, request_for: Any, recorder: Any, command: list[str], cause: Cause
) -> None:
    async with client_of(serve_worker()) as client:
        result = await client.run(request_for(command), recorder)
    assert result.exit_code != 0
    assert result.cause is cause


async def test_files_come_from_the_store_that_a_request_names_and_go_there(
    serve_worker: Serve, request_for: Any, recorder: Any, tmp_path: Path
) -> None:
    store = f"file://{tmp_path / 'store'}"
    request = request_for(["sh", "-c", 'pwd > "$1"', "sh", "out.bin"], artifacts=store, job_dir="/nowhere")
    async with client_of(serve_worker()) as client:
        result = await client.run(request, recorder)
    assert [output.url for output in result.outputs] == [f"{store}/jobs/job/out.bin"]
    ran_in = (tmp_path / "store" / "jobs" / "job" / "out.bin").read_text().strip()
    assert Path(ran_in).is_relative_to(tmp_path / "worker")
    assert not Path(ran_in).exists()


async def test_it_gives_signs_of_life_while_files_are_on_their_way(
    request_for: Any, recorder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes longer here than a caller waits for a worker that is silent."""

    class SlowStore(FileArtifactStore):
        async def put(self, *arguments: Any, **options: Any) -> Any:
            await asyncio.sleep(2.0)
            return await super().put(*arguments, **options)

    monkeypatch.setattr(server, "KEEP_ALIVE", 0.1)
    monkeypatch.setattr(client_module, "SILENCE", 1.0)

    async def allow(token: str) -> bool:
        return True

    url = f"file://{tmp_path / 'store'}"
    serving = WorkerServer(
        allow, lambda url: SlowStore(FileArtifactOptions(url=url)), root=tmp_path / "worker", cache_limit=0
    )
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serving.serve("127.0.0.1", 0, on_ready=port.set_result))

    async def authorise() -> Mapping[str, str]:
        return {"Authorization": "Bearer token"}

    async with WorkerClient(f"http://127.0.0.1:{await port}", authorise) as client:
        request = request_for(["sh", "-c", 'echo film > "$1"', "sh", "out.bin"], artifacts=url)
        assert (await client.run(request, recorder)).exit_code == 0
    os.kill(os.getpid(), signal.SIGTERM)
    await running


async def test_a_store_that_the_worker_cannot_open_is_told(
    serve_worker: Serve, request_for: Any, recorder: Any
) -> None:
    async with client_of(serve_worker()) as client:
        result = await client.run(request_for(["true"], artifacts="nosuch://films"), recorder)
    assert result.cause is Cause.MISCONFIGURED
    assert "no artifact store is called 'nosuch'" in (result.message or "")


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer {token}x"},
        {"Authorization": "Basic {token}"},
        {"Authorization": "{token}"},
    ],
    ids=["none", "empty", "wrong", "longer", "other scheme", "no scheme"],
)
@pytest.mark.parametrize("path", ["/v1/chunks", "/v1/worker", "/"])
async def test_nothing_is_answered_without_the_token(
    serve_worker: Serve, request_for: Any, tmp_path: Path, headers: dict[str, str], path: str
) -> None:
    worker = serve_worker()
    body = encode_request(request_for(["sh", "-c", "touch ran"]))
    filled = {name: value.format(token=worker.token) for name, value in headers.items()}
    async with aiohttp.ClientSession() as session:
        for method in ("POST", "GET"):
            async with session.request(method, worker.url + path, data=body, headers=filled) as answer:
                assert answer.status == 401
    assert not (tmp_path / "ran").exists()


async def test_a_wrong_token_is_told_with_what_to_do(serve_worker: Serve, request_for: Any, recorder: Any) -> None:
    async with client_of(serve_worker(), token="not-the-right-one") as client:
        with pytest.raises(Misconfigured, match=r"HTTP 401: .*; use the token that the worker was started with"):
            await client.run(request_for(["true"]), recorder)


async def test_a_worker_says_what_it_is(serve_worker: Serve) -> None:
    from heliostat import __version__

    async with client_of(serve_worker("-n", 3)) as client:
        assert await client.info() == WorkerInfo(version=__version__, slots=3, running=0)


# --- how much at once ------------------------------------------------------------------------------------------------


async def test_one_chunk_at_a_time_and_no_attempt_twice(
    serve_worker: Serve, request_for: Any, recorder: Any, processes: Any, tmp_path: Path, until: Any
) -> None:
    first = waits(request_for, processes)
    async with client_of(serve_worker()) as client:
        running = asyncio.create_task(client.run(first, recorder))
        await until((tmp_path / "began").exists)
        with pytest.raises(WorkerLost, match="runs here already"):
            await client.run(first, recorder)
        with pytest.raises(Throttled, match="all 1 slots are taken") as throttled:
            await client.run(request_for(["true"]), recorder)
        assert throttled.value.retry_after == 1
        (tmp_path / "go").touch()
        assert (await running).exit_code == 0
        assert (await client.info()).running == 0


# --- ends ------------------------------------------------------------------------------------------------------------


async def test_hanging_up_ends_the_command_and_frees_the_slot(
    serve_worker: Serve, request_for: Any, recorder: Any, processes: Any, tmp_path: Path, until: Any
) -> None:
    async with client_of(serve_worker("--grace", 0.5)) as client:
        running = asyncio.create_task(client.run(waits(request_for, processes), recorder))
        await until((tmp_path / "began").exists)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await processes.wait_until_gone()
        async with asyncio.timeout(60):
            while (await client.info()).running:
                await asyncio.sleep(0.02)


async def test_a_slot_whose_caller_has_hung_up_is_waited_for(
    serve_worker: Serve, request_for: Any, recorder: Any, processes: Any, tmp_path: Path, until: Any
) -> None:
    """Its command takes a while to end. A front door, which knows of callers only, sends the next one meanwhile."""
    stubborn = request_for(
        ["sh", "-c", f"trap 'touch told' TERM; echo film > began; {WAITS}", "sh", "out.bin"], env=processes.env
    )
    async with client_of(serve_worker("--grace", 60)) as client:
        running = asyncio.create_task(client.run(stubborn, recorder))
        await until((tmp_path / "began").exists)
        running.cancel()
        await until((tmp_path / "told").exists)
        after = {asyncio.create_task(client.run(request_for(["cp", "began", "out.bin"]), recorder)) for _ in range(2)}
        refused, waiting = await asyncio.wait(after, return_when=asyncio.FIRST_COMPLETED)
        assert [type(each.exception()) for each in refused] == [Throttled], "there is one slot"
        (tmp_path / "go").touch()
        (result,) = [await each for each in waiting]
        assert (result.exit_code, result.message) == (0, None)


async def test_a_caller_that_is_killed_takes_its_chunk_with_it(
    serve_worker: Serve, request_for: Any, processes: Any, tmp_path: Path, until: Any
) -> None:
    """Its kernel closes the connection."""
    worker = serve_worker("--grace", 0.5)
    body = tmp_path / "body"
    body.write_bytes(encode_request(waits(request_for, processes)))
    caller = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CALLER, f"{worker.url}/v1/chunks", worker.token, str(body))
    )
    await until((tmp_path / "began").exists)
    caller.kill()
    await caller.wait()
    await processes.wait_until_gone()


async def test_told_to_end_it_lets_a_chunk_finish_and_takes_no_other(
    serve_worker: Serve, request_for: Any, recorder: Any, processes: Any, tmp_path: Path, until: Any
) -> None:
    worker = serve_worker("--drain", 60)
    async with client_of(worker) as client:
        running = asyncio.create_task(client.run(waits(request_for, processes), recorder))
        await until((tmp_path / "began").exists)
        worker.tell(signal.SIGTERM)

        async def try_another() -> None:
            while True:  # the signal takes its time
                with contextlib.suppress(Throttled):
                    await client.run(request_for(["true"]), recorder)

        with pytest.raises(WorkerLost, match="HTTP 503: the worker is about to end"):
            await try_another()
        (tmp_path / "go").touch()
        assert (await running).exit_code == 0
    assert await asyncio.to_thread(worker.wait) == 0


async def test_a_chunk_that_takes_too_long_then_is_lost_at_once(
    serve_worker: Serve, request_for: Any, recorder: Any, processes: Any, tmp_path: Path, until: Any
) -> None:
    worker = serve_worker("--drain", 0.1, "--grace", 0.5)
    async with client_of(worker) as client:
        running = asyncio.create_task(client.run(waits(request_for, processes), recorder))
        await until((tmp_path / "began").exists)
        worker.tell(signal.SIGTERM)
        result = await running
    assert result.cause is Cause.WORKER_LOST
    assert result.message == "the worker was told to end, and took the chunk with it"
    assert await asyncio.to_thread(worker.wait) == 0
    await processes.wait_until_gone()


async def test_a_worker_that_is_killed_leaves_no_command(
    serve_worker: Serve, request_for: Any, recorder: Any, processes: Any, tmp_path: Path, until: Any
) -> None:
    worker = serve_worker()
    async with client_of(worker) as client:
        running = asyncio.create_task(client.run(waits(request_for, processes), recorder))
        await until((tmp_path / "began").exists)
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerLost):
            await running
    await processes.wait_until_gone()


# --- what is no request ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is no request"),
        (b"{}", "is no request"),
        (b'{"version": 99, "request": {}}', "speaks version 99 of the wire format"),
        (b"\xff\xfe", "is no request"),
    ],
)
async def test_what_is_no_request_is_refused(serve_worker: Serve, body: bytes, message: str) -> None:
    worker = serve_worker()
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{worker.url}/v1/chunks", data=body, headers={"Authorization": f"Bearer {worker.token}"}
        ) as answer,
    ):
        assert answer.status == 400
        assert message in (await answer.json())["message"]


async def test_the_stream_is_the_wire_format(
    serve_worker: Serve, request_for: Any, recorder: Any, tmp_path: Path
) -> None:
    worker = serve_worker()
    request = request_for(["sh", "-c", 'echo film > "$1"', "sh", "out.bin"])
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{worker.url}/v1/chunks",
            data=encode_request(request),
            headers={"Authorization": f"Bearer {worker.token}"},
        ) as answer,
    ):
        assert (answer.status, answer.content_type) == (200, "application/x-ndjson")
        lines = (await answer.read()).splitlines()
    assert [json.loads(line)["type"] for line in lines].count("result") == 1
    result = relay(lines[-1], recorder)
    assert isinstance(result, ChunkResult)
    assert result.attempt_id == request.attempt_id
