"""What happens to commands whose coordinator is killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heliostat.worker.runtime import run_chunk
from heliostat.worker.warden import Warden

COORDINATOR = """
import asyncio, itertools, json, os, sys
from heliostat.builtin.local import LocalAdapter
from heliostat.contracts.worker import ChunkRequest
from heliostat.model.spec import Chunk

class Report:
    def frames_done(self, frames): pass
    def log(self, stream, text): pass
    def heartbeat(self): pass

async def main(env):
    numbers = itertools.count()
    async def slot(adapter, script):
        while True:
            n = next(numbers)
            chunk = Chunk(id=n, start_frame=n, frame_count=1, output_file=f"{n}.txt", command=("unused",))
            command = ["sh", "-c", script, "sh", chunk.output_file]
            request = ChunkRequest(job_id="j", chunk=chunk, attempt=1, attempt_id=str(n), command=command, env=env)
            await adapter.run(request, Report())
    async with LocalAdapter() as adapter:
        print(adapter._warden.pid, flush=True)
        await asyncio.gather(
            slot(adapter, "sleep 1000 & sleep 1000"),
            slot(adapter, "trap '' TERM HUP; (setsid sleep 1000 >/dev/null 2>&1 &); sleep 1000"),
            slot(adapter, "echo short > $1"),
            slot(adapter, "echo short > $1; sleep 0.01 &"),
        )

asyncio.run(main(json.loads(sys.argv[1])))
"""


def start(*command: object, **fields: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, **fields)


def is_running(pid: int) -> bool:
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("seed", range(6))
async def test_killing_the_coordinator_at_any_moment_leaves_no_process(
    processes: Any, until: Any, tmp_path: Path, seed: int
) -> None:
    """Commands that have children, that ignore signals, that left their group, and that are just being started."""
    script = tmp_path / "coordinator.py"
    script.write_text(COORDINATOR)
    coordinator = start(sys.executable, script, json.dumps(processes.env), cwd=tmp_path)
    assert coordinator.stdout is not None
    try:
        helper = int(await asyncio.to_thread(coordinator.stdout.readline))
        if seed:
            await processes.wait_until_at_least(1)
            await asyncio.sleep(random.Random(seed).uniform(0, 0.4))
    finally:
        coordinator.kill()
        coordinator.wait()
        coordinator.stdout.close()
    await until(lambda: not is_running(helper))
    # With its coordinator the helper is gone, and it goes last.
    assert processes.pids() == []


async def test_the_helper_ends_with_its_warden(until: Any) -> None:
    warden = Warden()
    assert is_running(warden.pid)
    await warden.close()
    assert not is_running(warden.pid)


async def test_closing_kills_what_a_command_left_outside_of_its_group(
    request_for: Any, recorder: Any, processes: Any
) -> None:
    warden = Warden()
    script = """
        setsid sh -c 'echo > left; exec sleep 1000' >/dev/null 2>&1 &
        while [ ! -e left ]; do sleep 0.01; done; echo x > out.bin
    """
    await run_chunk(request_for(["sh", "-c", script], env=processes.env), recorder, warden=warden)
    assert len(processes.pids()) == 1
    await warden.close()
    assert processes.pids() == []


async def test_signals_do_not_end_the_helper(until: Any) -> None:
    warden = Warden()
    status = Path("/proc", str(warden.pid), "status")

    def is_ready() -> bool:
        ignored = int(status.read_text().partition("SigIgn:")[2].split()[0], 16)
        return all(ignored & 1 << (number - 1) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))

    await until(is_ready)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(warden.pid, number)
    assert is_running(warden.pid)
    await warden.close()


async def test_the_helper_holds_nothing_that_the_coordinator_has_open(until: Any, names: Any, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "lock", os.O_WRONLY | os.O_CREAT)
    os.set_inheritable(descriptor, True)
    warden = Warden()
    await until(lambda: os.readlink(f"/proc/{warden.pid}/cwd") == "/")
    held = {os.readlink(f"/proc/{warden.pid}/fd/{number}") for number in os.listdir(f"/proc/{warden.pid}/fd")}
    assert str(tmp_path / "lock") not in held
    os.close(descriptor)
    await warden.close()


@pytest.mark.parametrize("delay", [0, 0.1])
async def test_a_child_forked_without_exec_does_not_keep_the_helper_waiting(
    processes: Any, until: Any, delay: float
) -> None:
    """Such a child, of multiprocessing say, has a copy of the pipe that the helper watches."""
    program = """
import os, time
from heliostat.worker.warden import Warden
warden = Warden()
if os.fork():
    print(warden.pid, flush=True)
time.sleep(1000)
"""
    env = {**os.environ, **processes.env}
    coordinator = start(sys.executable, "-c", program, env=env)
    assert coordinator.stdout is not None
    helper = int(await asyncio.to_thread(coordinator.stdout.readline))
    await asyncio.sleep(delay)
    coordinator.kill()
    coordinator.wait()
    coordinator.stdout.close()
    await until(lambda: not is_running(helper))
    assert len(processes.pids()) == 1


async def test_a_helper_that_died_does_not_disturb_the_work(request_for: Any, recorder: Any) -> None:
    warden = Warden()
    os.kill(warden.pid, signal.SIGKILL)
    for _ in range(3):
        result = await run_chunk(request_for(["sh", "-c", "echo x > out.bin"]), recorder, warden=warden)
        assert result.exit_code == 0
    await warden.close()


async def test_cancelling_an_outer_heliostat_ends_the_commands_of_an_inner_one(
    request_for: Any, recorder: Any, processes: Any, tmp_path: Path
) -> None:
    (tmp_path / "coordinator.py").write_text(COORDINATOR)
    request = request_for([sys.executable, "coordinator.py", json.dumps(processes.env)])
    warden = Warden()
    task = asyncio.create_task(run_chunk(request, recorder, warden=warden, grace=0))
    await processes.wait_until_at_least(4)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await processes.wait_until_gone()
    await warden.close()
