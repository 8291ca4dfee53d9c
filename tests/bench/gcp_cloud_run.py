"""The adapters `gcp-cloud-run` and `gcp-cloud-run-jobs` on a stand-in for Cloud Run that runs the real worker.

    uv run python tests/bench/gcp_cloud_run.py [--requests 400] [--chunks 1000] [--runs 3]

Three figures: what the adapter for services adds to a request, beside a bare aiohttp loop; how often RunJob is called
for many chunks; and how long frames take from a command to a progress sink, with a service and with a job. All run on
this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "gcp"))

import aiohttp
import msgspec
from conftest import AUDIENCE, OWN, serving_gcs
from fake_cloud_run import FakeCloudRun
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from google_accounts import EMAIL, Accounts, verify_id_token

from heliostat import (
    ChunkProgressed,
    ChunkRequest,
    Event,
    JobEnded,
    JobExecutionOptions,
    JobExecutor,
    JobSpec,
    JobStarted,
    open_worker,
)
from heliostat.testing.trial import film
from heliostat.worker import encode_request
from heliostat_gcp.id_tokens import IdTokens


def serve() -> None:
    """The stand-ins, in a process of their own, until standard input ends. Each line of it asks how often what was
    called."""
    with serving_gcs() as gcs, Accounts() as accounts, tempfile.TemporaryDirectory() as folder:
        Client(
            project="studio", credentials=AnonymousCredentials(), client_options={"api_endpoint": gcs}
        ).create_bucket("films")
        surroundings = {
            "PATH": os.environ["PATH"],
            "STORAGE_EMULATOR_HOST": gcs,
            "HELIOSTAT_HOST": "127.0.0.1",
            "HELIOSTAT_CERTS_URL": f"http://{accounts.address}/certs",
            "HELIOSTAT_PLUGINS": "gcp",
        }
        env = {"HELIOSTAT_ARTIFACTS": OWN, "HELIOSTAT_AUDIENCE": AUDIENCE, "HELIOSTAT_CALLERS": EMAIL}
        with FakeCloudRun(surroundings, verify_id_token) as run:
            service = run.add_service("film", env, audiences=(AUDIENCE,))
            run.add_job("film", env)
            key = str(accounts.key_file(Path(folder)))
            print(json.dumps([gcs, run.endpoint, service.uri, key]), flush=True)
            for _ in sys.stdin:
                print(json.dumps(run.admin.calls), flush=True)


class Cloud:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        gcs, self.endpoint, self.url, key = self._read()
        os.environ |= {
            "STORAGE_EMULATOR_HOST": gcs,
            "GOOGLE_APPLICATION_CREDENTIALS": key,
            "GOOGLE_CLOUD_PROJECT": "studio",
            "GOOGLE_CLOUD_REGION": "europe-west1",
        }

    def calls(self) -> dict[str, int]:
        """Of the Admin API, by method."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()  # type: ignore[no-any-return]

    def worker(self, kind: str) -> Any:
        name = {"service": "gcp-cloud-run", "job": "gcp-cloud-run-jobs"}[kind]
        return open_worker(name, **{kind: "film", "endpoint": self.endpoint})

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def cloud() -> Iterator[Cloud]:
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Cloud(process)
        assert process.stdin is not None
        process.stdin.close()


def job(count: int, *steps: str) -> JobSpec:
    """Chunks with an output of a few bytes."""
    spec = film(*[steps] * count)
    chunks = tuple(
        msgspec.structs.replace(chunk, command=("sh", "-c", f'{steps[0]}; echo film > "$1"', "sh", chunk.output_file))
        for chunk in spec.chunks
    )
    return msgspec.structs.replace(spec, chunks=chunks)


def bare(spec: JobSpec, concurrency: int, url: str) -> float:
    """Seconds that aiohttp takes for the same requests, so many at once, reading each answer to its end."""

    async def run() -> float:
        headers = await IdTokens(AUDIENCE).headers()
        waiting = list(spec.chunks)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def work() -> None:
                while waiting:
                    chunk = waiting.pop()
                    request = ChunkRequest(
                        job_id="bare",
                        chunk=chunk,
                        attempt=1,
                        attempt_id=str(chunk.id),
                        command=list(chunk.command),
                        artifacts=OWN,
                    )
                    body = encode_request(request)
                    async with session.post(f"{url}/v1/chunks", data=body, headers=headers) as answer:
                        said = await answer.read()
                        assert b'"exitCode":0' in said, said

            begun = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(concurrency)))
            return time.perf_counter() - begun

    return asyncio.run(run())


def ours(spec: JobSpec, worker: Any, **given: Any) -> float:
    """Seconds from the first event of the job to its last."""
    times: list[float] = []

    async def on_event(event: Event) -> None:
        if isinstance(event, JobStarted | JobEnded):
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        options = JobExecutionOptions(job_dir=folder, on_event=on_event, **given)
        asyncio.run(JobExecutor(worker).execute(spec, options))
    return times[-1] - times[0]


def frames_latency(worker: Any, samples: int) -> list[float]:
    """Seconds from a command's line that tells frames to the sink's event."""
    printed = "i=0; while [ $i -lt 12 ]; do i=$((i+1)); echo frame $i $(date +%s.%N); sleep 0.7; done"
    spec = msgspec.structs.replace(job(samples, printed), progress=r"frame (\d+)")
    heard: dict[tuple[int | str, int], float] = {}

    def on_event(event: Event) -> None:
        if isinstance(event, ChunkProgressed):
            heard.setdefault((event.chunk, round(event.frames_done)), time.time())

    latencies = []
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(
            JobExecutor(worker).execute(
                spec, JobExecutionOptions(job_dir=folder, concurrency=samples, on_event=on_event)
            )
        )
        for index in range(samples):
            (log,) = Path(folder).rglob(f"{index:06d}-1.log")
            for line in log.read_text().splitlines():
                _, frame, clock = line.split()
                if (when := heard.get((index, int(frame)))) is not None:
                    latencies.append(when - float(clock))
    return sorted(latencies)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--chunks", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve()
        return
    with cloud() as deployed:
        quick, at_once = job(given.requests, "true"), 8
        bare(job(at_once * 4, "true"), at_once, deployed.url)  # warm
        ratios = []
        for _ in range(given.runs):
            floor = bare(quick, at_once, deployed.url)
            adapter = ours(quick, deployed.worker("service"), concurrency=at_once)
            ratios.append(adapter / floor)
            each = 1000 / given.requests
            print(
                f"{given.requests} requests to a service, {at_once} at once: aiohttp {floor * each:.2f} ms each,"
                f" adapter {adapter * each:.2f} ms ({adapter / floor:.3f})",
                flush=True,
            )
        print(f"median ratio {statistics.median(ratios):.3f}", flush=True)
        for kind in ("service", "job"):
            latencies = frames_latency(deployed.worker(kind), 4)
            print(
                f"frames from command to sink, {kind}, {len(latencies)} samples: median"
                f" {statistics.median(latencies):.2f} s, longest {latencies[-1]:.2f} s",
                flush=True,
            )
        before = deployed.calls()
        seconds = ours(job(given.chunks, "true"), deployed.worker("job"))
        calls = {name: count - before.get(name, 0) for name, count in deployed.calls().items()}
        print(
            f"{given.chunks} chunks as tasks, {seconds:.0f} s: {calls.get('RunJob', 0)} calls of RunJob,"
            f" {calls.get('GetExecution', 0)} of GetExecution, {calls.get('ListTasks', 0)} of ListTasks",
            flush=True,
        )


if __name__ == "__main__":
    main()
