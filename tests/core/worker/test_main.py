"""`python -m heliostat.worker`: a chunk for whoever starts it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heliostat.model.cause import Cause
from heliostat.model.result import ChunkResult
from heliostat.worker.wire import encode_request, relay


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "heliostat.worker", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def results(stdout: bytes, recorder: Any) -> list[ChunkResult]:
    return [result for line in stdout.splitlines() if (result := relay(line, recorder)) is not None]


async def test_it_streams_messages_and_ends_with_one_result(request_for: Any, recorder: Any, tmp_path: Path) -> None:
    script = "echo openjd_progress: 50; echo 'naïve ☀' >&2; echo film > $1"
    request = request_for(["sh", "-c", script, "sh", "out.bin"])
    worker = await start()
    stdout, stderr = await worker.communicate(encode_request(request))
    assert (worker.returncode, stderr) == (0, b"")
    (result,) = results(stdout, recorder)
    assert json.loads(stdout.splitlines()[-1])["type"] == "result"
    assert (result.exit_code, result.attempt_id) == (0, request.attempt_id)
    assert result.outputs[0].size == 5
    assert result.worker == f"{os.uname().nodename}/{worker.pid}"
    assert recorder.frames == [120]
    assert recorder.logged["stderr"] == "naïve ☀\n"
    assert recorder.heartbeats >= 1
    assert os.listdir(tmp_path) == ["out.bin"]


@pytest.mark.parametrize(
    ("command", "cause", "message"),
    [
        (["sh", "-c", "exit 3"], Cause.COMMAND_FAILED, "exit status 3"),
        (["no-such-program"], Cause.MISCONFIGURED, "the command 'no-such-program' was not found"),
        (["true"], Cause.BAD_OUTPUT, "the command ended well, but wrote no"),
    ],
)
async def test_failures_are_results_too(
    request_for: Any, recorder: Any, command: list[str], cause: Cause, message: str
) -> None:
    worker = await start()
    stdout, _ = await worker.communicate(encode_request(request_for(command)))
    (result,) = results(stdout, recorder)
    assert worker.returncode == 1
    assert result.exit_code != 0
    assert result.cause is cause
    assert result.message is not None
    assert result.message.startswith(message)


@pytest.mark.parametrize("line", [b"", b"nonsense\n", b'{"version": 99}\n'])
async def test_what_is_no_request_is_answered_with_a_result(recorder: Any, line: bytes) -> None:
    worker = await start()
    stdout, _ = await worker.communicate(line)
    (result,) = results(stdout, recorder)
    assert (worker.returncode, result.cause) == (1, Cause.MISCONFIGURED)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_cancels_the_chunk(request_for: Any, recorder: Any, processes: Any, number: int) -> None:
    script = "trap '' TERM; sleep 1000 & setsid sleep 1000 & echo half > $1; sleep 1000"
    request = request_for(["sh", "-c", script, "sh", "out.bin"], env=processes.env)
    worker = await start("--grace", "0.1")
    assert worker.stdin is not None
    worker.stdin.write(encode_request(request))
    await processes.wait_until_at_least(3)
    worker.send_signal(number)
    stdout, _ = await worker.communicate()
    (result,) = results(stdout, recorder)
    assert (worker.returncode, result.cause) == (1, Cause.CANCELLED)
    assert processes.pids() == []
    assert os.listdir(request.job_dir) == []


async def test_it_ends_when_nobody_reads_its_messages_any_more(request_for: Any, processes: Any) -> None:
    request = request_for(["sh", "-c", "while :; do echo still here; sleep 0.01; done"], env=processes.env)
    reader, writer = os.pipe()
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "heliostat.worker"), stdin=subprocess.PIPE, stdout=writer
    )
    os.close(writer)
    assert worker.stdin is not None
    worker.stdin.write(encode_request(request))
    await processes.wait_until_at_least(1)
    os.close(reader)
    assert await worker.wait() == 1
    assert processes.pids() == []


async def test_killing_it_leaves_no_process(request_for: Any, processes: Any) -> None:
    request = request_for(["sh", "-c", "sleep 1000 & setsid sleep 1000 & sleep 1000"], env=processes.env)
    worker = await start()
    assert worker.stdin is not None
    worker.stdin.write(encode_request(request))
    await processes.wait_until_at_least(4)
    worker.kill()
    await worker.communicate()
    await processes.wait_until_gone()
