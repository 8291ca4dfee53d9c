"""What coordination costs: microseconds and bytes a chunk, beside a floor and the peers, all in one run.

    uv run --group bench python tests/bench/coordination.py [--sizes 10000,100000,1000000] [--repeat 3] [--only NAME,…]

Every contender runs chunks that do nothing and counts each as it completes. Each run is a process of its own; the
table shows the median of the runs, which take turns so that a machine whose speed drifts is unfair to nobody.

- floor: eight coroutines that take a number from an iterator, await an empty coroutine and group-commit to SQLite
  (WAL, synchronous=FULL, one row a chunk), counting after the commit: the least that any asyncio program with durable
  progress does.
- heliostat: `JobManager`, a no-op adapter with eight slots, a SQLite repository, `on_progress` counting. Building the
  specification and `submit`'s validation and rows are shown apart (`prepare`).
- concurrent.futures, Dask distributed, Ray: a future for each chunk, counted as it completes. None of them is durable.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

SLOTS = 8


def peak_rss() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def floor(count: int, folder: Path) -> dict[str, float]:
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE chunk (idx INTEGER PRIMARY KEY, state TEXT, at REAL)")

    async def render(index: int) -> int:
        return index

    def write(rows: list[tuple[int, str, float]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO chunk SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)", (json.dumps(rows),)
        )
        connection.execute("COMMIT")

    async def main() -> int:
        todo, batch, counted = iter(range(count)), [], 0
        dirty, done = asyncio.Event(), asyncio.Event()

        async def slot() -> None:
            for turn, index in enumerate(todo):
                await render(index)
                batch.append((index, "succeeded", time.time()))
                dirty.set()
                if turn % 32 == 31:
                    await asyncio.sleep(0)

        async def commit() -> None:
            nonlocal batch, counted
            while counted < count:
                await dirty.wait()
                dirty.clear()
                rows, batch = batch, []
                await asyncio.to_thread(write, rows)
                for _ in rows:
                    counted += 1
            done.set()

        committing = asyncio.create_task(commit())
        await asyncio.gather(*(slot() for _ in range(SLOTS)))
        await done.wait()
        await committing
        return counted

    began = time.perf_counter()
    assert asyncio.run(main()) == count
    return {"seconds": time.perf_counter() - began}


def heliostat(count: int, folder: Path) -> dict[str, float]:
    from heliostat import (
        Chunk,
        ChunkResult,
        JobExecutionOptions,
        JobExecutor,
        JobManager,
        JobSpec,
        Metadata,
        WorkerAdapter,
        WorkerLimits,
        open_repository,
    )

    class Noop(WorkerAdapter):
        limits = WorkerLimits(default_concurrency=SLOTS)

        async def run(self, request, report):
            return ChunkResult(exit_code=0, duration=0.0)

    async def main() -> dict[str, float]:
        counted = 0

        def on_progress(completed: int, total: int) -> None:
            nonlocal counted
            counted += 1

        manager = JobManager(open_repository(f"sqlite:///{folder}/jobs.db"), JobExecutor(Noop()))
        await manager.list()  # opens the repository: what its libraries take is not a chunk's
        gc.collect()
        before = peak_rss()
        began = time.perf_counter()
        command = ("true",)
        spec = JobSpec(
            metadata=Metadata(total_frames=count, fps=Fraction(24)),
            chunks=tuple(
                Chunk(id=n, start_frame=n, frame_count=1, output_file=f"{n}.out", command=command) for n in range(count)
            ),
        )
        async with manager:
            options = JobExecutionOptions(job_dir=folder, on_progress=on_progress)
            job = await manager.submit(spec, options, start=False)
            prepared = time.perf_counter()
            await manager.resume(job)
            status = await manager.wait(job)
            ended = time.perf_counter()
            assert counted == status.completed_chunks == count
        return {
            "seconds": ended - prepared,
            "prepare": prepared - began,
            "bytes": (peak_rss() - before) / count,
        }

    return asyncio.run(main())


def futures(count: int, folder: Path) -> dict[str, float]:
    from concurrent.futures import ThreadPoolExecutor, as_completed

    began = time.perf_counter()
    counted = 0
    with ThreadPoolExecutor(SLOTS) as pool:
        for _ in as_completed([pool.submit(int, n) for n in range(count)]):
            counted += 1
    assert counted == count
    return {"seconds": time.perf_counter() - began}


def dask(count: int, folder: Path) -> dict[str, float]:
    from distributed import Client, LocalCluster, as_completed

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=SLOTS, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        Client(cluster) as client,
    ):
        began = time.perf_counter()
        counted = sum(1 for _ in as_completed(client.map(_nothing, range(count), pure=False)))
        assert counted == count
        return {"seconds": time.perf_counter() - began}


def ray(count: int, folder: Path) -> dict[str, float]:
    import ray as ray_

    ray_.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    render = ray_.remote(_nothing)
    ray_.get(render.remote(0))
    began = time.perf_counter()
    counted, waiting, todo = 0, [], iter(range(count))
    while True:
        while len(waiting) < 1000 and (n := next(todo, None)) is not None:
            waiting.append(render.remote(n))
        if not waiting:
            break
        done, waiting = ray_.wait(waiting, num_returns=min(100, len(waiting)), fetch_local=False)
        counted += len(done)
    assert counted == count
    seconds = time.perf_counter() - began
    ray_.shutdown()
    return {"seconds": seconds}


def _nothing(n: int) -> int:
    return n


CONTENDERS = {"floor": floor, "heliostat": heliostat, "concurrent.futures": futures, "dask": dask, "ray": ray}
NEEDS = {"dask": "distributed", "ray": "ray"}
LARGEST = {"concurrent.futures": 100_000, "dask": 10_000, "ray": 10_000}
"""Peers are not asked for more than this: they take minutes and gigabytes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default=",".join(CONTENDERS))
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        name, count = arguments.run.split(":")
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(CONTENDERS[name](int(count), Path(folder))))
        return
    names = arguments.only.split(",")
    print(f"{'chunks':>9}  {'contender':<20}{'µs a chunk':>12}{'x floor':>9}{'prepare µs':>12}{'KB a chunk':>12}")
    for count in map(int, arguments.sizes.split(",")):
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(arguments.repeat):
            for name in names:
                if count > LARGEST.get(name, count) or (name in NEEDS and not importlib.util.find_spec(NEEDS[name])):
                    continue
                done = subprocess.run(
                    [sys.executable, __file__, "--run", f"{name}:{count}"], capture_output=True, text=True, check=False
                )
                if done.returncode:
                    sys.exit(f"{name}: {done.stderr}")
                runs[name].append(json.loads(done.stdout.splitlines()[-1]))
        medians = {name: _medians(taken) for name, taken in runs.items() if taken}
        for name, median in medians.items():
            each = median["seconds"] / count * 1e6
            ratio = median["seconds"] / medians["floor"]["seconds"] if "floor" in medians else float("nan")
            prepare = f"{median['prepare'] / count * 1e6:.1f}" if "prepare" in median else ""
            memory = f"{median['bytes'] / 1024:.2f}" if "bytes" in median else ""
            print(f"{count:>9}  {name:<20}{each:>12.1f}{ratio:>9.2f}{prepare:>12}{memory:>12}", flush=True)


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


if __name__ == "__main__":
    main()
