"""The adapter `local`, opened as a job opens it."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heliostat.builtin.local import LocalAdapter, LocalOptions, register_worker_adapters
from heliostat.contracts.worker import ChunkReport, ChunkRequest
from heliostat.errors import Misconfigured
from heliostat.model.cause import Cause
from heliostat.model.spec import Chunk


class Silence:
    """A ChunkReport that nobody listens to."""

    def frames_done(self, frames: float, /) -> None: ...
    def log(self, stream: str, text: str, /) -> None: ...
    def heartbeat(self) -> None: ...


SILENCE: ChunkReport = Silence()


def request(script: str, job_dir: Path, *, output_file: str = "out.bin", **fields: Any) -> ChunkRequest:
    chunk = Chunk(id=1, start_frame=0, frame_count=24, output_file=output_file, command=("unused",))
    return ChunkRequest(
        job_id="job",
        chunk=chunk,
        attempt=1,
        attempt_id=secrets.token_hex(8),
        command=["sh", "-c", script, "sh", output_file],
        job_dir=str(job_dir),
        **fields,
    )


def children() -> set[int]:
    """Processes that this process has started and that still run."""
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.add(int(entry))
    return found


async def test_it_runs_attempts_side_by_side(tmp_path: Path) -> None:
    async with LocalAdapter() as adapter:
        results = await asyncio.gather(
            *(
                adapter.run(request("echo film > $1", tmp_path, output_file=f"{number}.bin"), SILENCE)
                for number in range(8)
            )
        )
    assert [result.exit_code for result in results] == [0] * 8
    assert len(os.listdir(tmp_path)) == 8


async def test_the_grace_is_an_option(tmp_path: Path) -> None:
    async with LocalAdapter(LocalOptions(grace=0.1)) as adapter:
        result = await adapter.run(
            request("trap '' TERM; while :; do sleep 0.01; done", tmp_path, timeout=0.3), SILENCE
        )
    assert result.cause is Cause.TIMED_OUT


async def test_opened_twice_it_stays_open_until_closed_twice(tmp_path: Path) -> None:
    before = children()
    adapter = LocalAdapter()
    async with adapter:
        (helper,) = children() - before
        async with adapter:
            assert children() - before == {helper}
        assert children() - before == {helper}
    assert children() == before
    async with adapter:
        assert len(children() - before) == 1
        assert (await adapter.run(request("echo x > $1", tmp_path), SILENCE)).exit_code == 0
    assert children() == before


async def test_a_machine_that_cannot_start_the_helper_is_misconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(Misconfigured, match="could not start a helper process"):
        await LocalAdapter().__aenter__()


def test_as_many_attempts_as_there_are_processors_are_the_default() -> None:
    limits = LocalAdapter().limits
    assert limits.default_concurrency == len(os.sched_getaffinity(0))
    assert limits.concurrency is None
    assert limits.longest_chunk is None


def test_it_is_registered_with_its_options() -> None:
    registered: dict[str, Any] = {}
    register_worker_adapters(
        lambda name, factory, *, options=None, summary="": registered.update({name: (factory, options, summary)})
    )
    assert registered == {"local": (LocalAdapter, LocalOptions, "Processes on this machine.")}


def test_its_module_is_cheap_to_import() -> None:
    program = "import sys; import heliostat.builtin.local; print({'asyncio', 'subprocess'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
