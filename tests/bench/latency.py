"""From an adapter's return to `on_progress`, and to a reader of `JobManager.events` in the same process, with durable
commits, at a given rate.

uv run python tests/bench/latency.py [--rate 1000] [--seconds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from fractions import Fraction

from heliostat import (
    Chunk,
    ChunkResult,
    ChunkSucceeded,
    JobExecutionOptions,
    JobExecutor,
    JobManager,
    JobSpec,
    Metadata,
    WorkerAdapter,
    WorkerLimits,
    open_repository,
)

SLOTS = 50


class Metronome(WorkerAdapter):
    """Returns results evenly at `rate` a second; results are accepted in the order of their return."""

    limits = WorkerLimits(default_concurrency=SLOTS)

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.began = 0.0
        self.returned: list[float] = []

    async def run(self, request, report):
        self.began = self.began or time.perf_counter()
        due = self.began + (request.chunk.start_frame + 1) / self.rate
        await asyncio.sleep(due - time.perf_counter())
        self.returned.append(time.perf_counter())
        return ChunkResult(exit_code=0, duration=0.0)


async def measure(rate: float, seconds: float, folder: str) -> None:
    count = int(rate * seconds)
    spec = JobSpec(
        metadata=Metadata(total_frames=count, fps=Fraction(24)),
        chunks=tuple(
            Chunk(id=n, start_frame=n, frame_count=1, output_file=f"{n}.out", command=("true",)) for n in range(count)
        ),
    )
    for kind in ("plain function", "coroutine", "reader"):
        worker, told = Metronome(rate), []

        def plain(completed: int, total: int, told: list[float] = told) -> None:
            told.append(time.perf_counter())

        async def coroutine(completed: int, total: int, told: list[float] = told) -> None:
            told.append(time.perf_counter())

        url = f"sqlite:///{folder}/{kind.split()[0]}.db"
        async with JobManager(open_repository(url), JobExecutor(worker)) as manager:
            callback = {"plain function": plain, "coroutine": coroutine, "reader": None}[kind]
            job = await manager.submit(spec, JobExecutionOptions(job_dir=folder, on_progress=callback))
            if kind == "reader":
                async for _, event in manager.events(job):
                    if isinstance(event, ChunkSucceeded):
                        told.append(time.perf_counter())
            await manager.wait(job)
        waits = sorted(1000 * (told - returned) for told, returned in zip(told, worker.returned, strict=True))
        reached = count / (worker.returned[-1] - worker.returned[0])
        cuts = statistics.quantiles(waits, n=100)
        print(
            f"{kind:<15} {reached:7.0f} chunks/s   p50 {cuts[49]:6.2f} ms   p99 {cuts[98]:6.2f} ms"
            f"   largest {waits[-1]:6.2f} ms",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(arguments.rate, arguments.seconds, folder))


if __name__ == "__main__":
    main()
