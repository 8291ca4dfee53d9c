"""`kill -9` of the coordinator at random moments, twenty times over one job."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heliostat import ChunkState, open_repository

KILLS = 20
CHUNKS = 160

RENDER = """
import os, sys, time
chunk, output = sys.argv[1:]
log = os.open("runs.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(log, f"{chunk}\\n".encode())
with open(output, "w") as file:
    file.write(f"{chunk}: half ")
    file.flush()
    time.sleep(0.1)
    file.write("whole\\n")
"""
JOIN = """
import pathlib
parts = sorted(pathlib.Path("chunks").glob("*.txt"))
pathlib.Path("film.txt").write_text("".join(part.read_text() for part in parts))
"""


def processes_of(job_id: str) -> list[int]:
    """Processes that carry the job's id in their environment: commands, and whatever they started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"HELIOSTAT_JOB_ID={job_id}\0".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def starts(runs: Path) -> list[str]:
    """The chunks that were begun, in order."""
    return runs.read_text().split() if runs.exists() else []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc; run it on Linux")
@pytest.mark.timeout(280)
@pytest.mark.long
def test_a_film_comes_out_whole_after_twenty_kills(tmp_path: Path):
    job_id = f"film-{os.getpid()}"
    (tmp_path / "render.py").write_text(RENDER)
    (tmp_path / "join.py").write_text(JOIN)
    job = {
        "id": job_id,
        "frames": CHUNKS,
        "fps": 24,
        "chunkSize": 1,
        "output": "chunks/{chunk:04d}.txt",
        "command": [sys.executable, "-I", "-S", "render.py", "{chunk}", "{output}"],
        "mergeCommand": f"'{sys.executable}' join.py",
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    db = str(tmp_path / "jobs.db")
    heliostat = [sys.executable, "-m", "heliostat"]
    chance = random.Random(20)
    runs = tmp_path / "runs.log"

    async def read_committed() -> set[str]:
        async with open_repository(f"sqlite:///{db}") as repository:
            return {str(chunk.id) for chunk in await repository.chunks(job_id, state=ChunkState.SUCCEEDED)}

    def committed() -> set[str]:
        return asyncio.run(read_committed()) if resuming else set()

    kills, resuming, kept = 0, False, []
    while True:
        before = committed()
        kept.append(len(before))
        seen = len(starts(runs))
        command = ["resume", job_id] if resuming else ["render", str(tmp_path / "job.json")]
        coordinator = subprocess.Popen(
            [*heliostat, *command, "--db", db, "--concurrency", "3", "--progress", "none"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if kills < KILLS:
            # Every fourth while the program starts, which may take long; the others while it renders.
            while kills % 4 and coordinator.poll() is None and len(starts(runs)) == seen:
                time.sleep(0.01)
            try:
                coordinator.wait(timeout=chance.uniform(0.0, 0.7))
            except subprocess.TimeoutExpired:
                os.kill(coordinator.pid, signal.SIGKILL)
                kills += 1
        said = coordinator.communicate(timeout=120)[0].decode()
        started = starts(runs)[seen:]
        assert before.isdisjoint(started), "a committed chunk was rendered twice"
        deadline = time.monotonic() + 20
        while orphans := processes_of(job_id):
            assert time.monotonic() < deadline, f"processes {orphans} outlived their coordinator"
            time.sleep(0.02)
        if coordinator.returncode == 0:
            break
        assert coordinator.returncode == -signal.SIGKILL, said
        resuming = resuming or bool(subprocess.run([*heliostat, "show", job_id, "--db", db]).returncode == 0)
    assert kept == sorted(kept), "a committed chunk was lost"
    assert len(set(kept)) > 5, "the kills hit while chunks were being committed"
    assert kills == KILLS, "the job was too short to be killed so often"
    assert (tmp_path / "film.txt").read_text() == "".join(f"{n}: half whole\n" for n in range(CHUNKS))
    assert sorted(path.name for path in (tmp_path / "chunks").iterdir()) == [f"{n:04d}.txt" for n in range(CHUNKS)]
