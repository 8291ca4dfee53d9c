"""How much longer a job takes in Studio when clients listen to its events: runs with and without them, in turns.

uv run python tests/bench/studio_api.py [--clients 50] [--chunks 2000] [--runs 5]

The clients are a process of their own on the same machine, so what they cost counts too. Each has to hear every event.
Beside the job's duration it says what the coordinator process worked, which other load on the machine changes little.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx


async def listen(url: str) -> int:
    """Until the run has ended; returns how many events with an id came. By hand, to cost next to nothing itself."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    heard, tail = 0, b""
    while piece := await reader.read(1 << 20):
        text = tail + piece
        heard += text.count(b"\nid: ") - tail.count(b"\nid: ")
        if b"event: job_ended" in text:
            break
        tail = text[-64:]
    writer.close()
    return heard


async def listen_many(url: str, clients: int) -> None:
    print(json.dumps(await asyncio.gather(*(listen(url) for _ in range(clients)))))


def coordinator_of(studio: int) -> int:
    """The process id of the coordinator."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == studio:
                return int(stat.parent.name)
    raise LookupError("there is no coordinator process")


def worked(process: int) -> float:
    """Seconds on a core, without its children."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(api: str, folder: Path, name: str, arguments: argparse.Namespace, clients: int) -> float:
    """Seconds from the job's start to its end."""
    job = {
        "id": name,
        "frames": arguments.chunks,
        "fps": 24,
        "chunkSize": 1,
        "output": f"{name}/{{chunk}}",
        "command": ["sh", "-c", f'sleep {arguments.sleep}; echo >"$0"', "{output}"],
    }
    given = {"job": job, "jobDir": str(folder), "options": {"concurrency": arguments.concurrency}}
    httpx.post(f"{api}/jobs", json=given, timeout=60).raise_for_status()
    url = f"{api}/jobs/{name}/events"
    heard: list[int] = []
    if clients:
        command = [sys.executable, __file__, "--listen", url, "--clients", str(clients)]
        heard = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    else:
        while httpx.get(f"{api}/jobs/{name}", timeout=60).json()["state"] != "completed":
            time.sleep(0.5)
    lines = httpx.get(url, params={"follow": "false"}, timeout=60).text.splitlines()
    told = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert heard == [len(told)] * clients, "somebody has not heard everything"
    assert sum(event["type"] == "chunk_succeeded" for event in told) == arguments.chunks
    return float(told[-1]["time"] - told[0]["time"])


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    command = [sys.executable, "-m", "heliostat", "studio", "--port", "0", "--dir", folder / "up"]
    studio = subprocess.Popen(
        [*map(str, command), "--db", str(folder / "jobs.db")],
        env={**os.environ, "HELIOSTAT_PLUGINS": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert studio.stderr is not None
    try:
        found = next(filter(None, (re.search(r"serves at (\S+)", line) for line in studio.stderr)))
        api = f"{found[1]}/api/v1"
        run(api, folder, "warm-up", arguments, 0)
        coordinator = coordinator_of(studio.pid)
        taken: dict[int, list[float]] = {0: [], arguments.clients: []}
        work: dict[int, list[float]] = {0: [], arguments.clients: []}
        for number in range(arguments.runs):
            for clients in taken:
                before = worked(coordinator)
                taken[clients].append(run(api, folder, f"run-{number}-{clients}", arguments, clients))
                work[clients].append(worked(coordinator) - before)
                load = os.getloadavg()[0]
                print(
                    f"{clients:4} clients: {taken[clients][-1]:6.2f} s,"
                    f" the coordinator worked {work[clients][-1]:5.2f} s   (load of the machine {load:.1f})",
                    flush=True,
                )
    finally:
        studio.terminate()
        studio.wait()
        studio.stderr.close()
    print(f"medians of {arguments.runs}, {arguments.chunks} chunks, without and with {arguments.clients} clients:")
    for what, figures in (("the job took", taken), ("the coordinator worked", work)):
        without, with_them = map(statistics.median, figures.values())
        print(f"{what} {without:.2f} s and {with_them:.2f} s: {100 * (with_them / without - 1):+.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--chunks", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sleep", type=float, default=0.1, help="seconds that a chunk takes")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--listen", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.listen:
        asyncio.run(listen_many(arguments.listen, arguments.clients))
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, Path(folder))


if __name__ == "__main__":
    main()
