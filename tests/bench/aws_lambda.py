"""The adapter `aws-lambda` beside a bare boto3 loop, on a stand-in for Lambda that runs the real handler.

    uv run python tests/bench/aws_lambda.py [--invocations 400] [--chunks 1000] [--concurrency 200]

Three figures: what the adapter adds to an invocation; how long many chunks of one second take beside what the stand-in
bears when boto3 alone calls it; and how long frames take from a command to a progress sink. All run on this machine.
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "aws"))

import boto3
import msgspec
from botocore.config import Config
from fake_lambda import FakeLambda
from moto.server import ThreadedMotoServer

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
from heliostat_aws.invocation import Delivery

BUCKET = "films"


def serve(concurrency: int) -> None:
    """The stand-ins, in a process of their own, until standard input ends."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    environment = {"AWS_ENDPOINT_URL": endpoint, "HELIOSTAT_ARTIFACTS": f"s3://{BUCKET}"}
    with (
        tempfile.TemporaryDirectory() as root,
        FakeLambda(
            "heliostat_aws.handler.handle",
            environment=environment,
            task_root=Path(root),
            concurrency=concurrency,
            timeout=300.0,  # for two hundred cold starts at once on a few cores
        ) as functions,
    ):
        print(json.dumps([endpoint, functions.endpoint_url]), flush=True)
        sys.stdin.read()
    server.stop()


@contextmanager
def cloud(concurrency: int) -> Iterator[None]:
    command = [sys.executable, __file__, "--serve", "--concurrency", str(concurrency)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        endpoint, functions = json.loads(process.stdout.readline())
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ENDPOINT_URL_LAMBDA": functions,
        }
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield
        process.stdin.close()


def job(count: int, *steps: str) -> JobSpec:
    """Chunks with an output of a few bytes."""
    spec = film(*[steps] * count)
    chunks = tuple(
        msgspec.structs.replace(chunk, command=("sh", "-c", f'{steps[0]}; echo film > "$1"', "sh", chunk.output_file))
        for chunk in spec.chunks
    )
    return msgspec.structs.replace(spec, chunks=chunks)


def bare(spec: JobSpec, concurrency: int, *, reports: bool) -> float:
    """Seconds that boto3 takes for the same invocations on as many threads. Payloads are the adapter's own, so that the
    function has the same work; nobody reads its reports."""
    queue = boto3.client("sqs").create_queue(QueueName=f"bare-{time.time_ns()}")["QueueUrl"] if reports else None
    client = boto3.client(
        "lambda", config=Config(max_pool_connections=concurrency, retries={"total_max_attempts": 1}, read_timeout=300)
    )

    def invoke(number: int) -> None:
        chunk = spec.chunks[number]
        line = encode_request(
            ChunkRequest(
                job_id="bare",
                chunk=chunk,
                attempt=1,
                attempt_id=str(number),
                command=list(chunk.command),
                artifacts=f"s3://{BUCKET}",
            )
        ).rstrip()
        payload = line[:-1] + b"," + msgspec.json.encode(Delivery(str(number), "sync", queue))[1:]
        answer = client.invoke(FunctionName="heliostat", Payload=payload, LogType="Tail")
        payload = answer["Payload"].read()
        assert b'"exitCode":0' in payload.replace(b" ", b""), payload

    with ThreadPoolExecutor(concurrency) as pool:
        begun = time.perf_counter()
        list(pool.map(invoke, range(len(spec.chunks))))
        return time.perf_counter() - begun


def ours(spec: JobSpec, concurrency: int, **options: Any) -> float:
    """Seconds from the first event of the job to its last."""
    times: list[float] = []

    async def on_event(event: Event) -> None:
        if isinstance(event, JobStarted | JobEnded):
            times.append(time.perf_counter())

    async def run() -> None:
        worker = open_worker("aws-lambda", function="heliostat", artifacts=f"s3://{BUCKET}", **options)
        with tempfile.TemporaryDirectory() as folder:
            await JobExecutor(worker).execute(
                spec,
                JobExecutionOptions(job_dir=folder, concurrency=concurrency, on_event=on_event),
            )

    asyncio.run(run())
    return times[-1] - times[0]


def frames_latency(samples: int) -> list[float]:
    """Seconds from a command's line that tells frames to the sink's event."""
    printed = "i=0; while [ $i -lt 12 ]; do i=$((i+1)); echo frame $i $(date +%s.%N); sleep 0.7; done"
    spec = msgspec.structs.replace(job(samples, printed), progress=r"frame (\d+)")
    heard: dict[tuple[int | str, int], float] = {}

    def on_event(event: Event) -> None:
        if isinstance(event, ChunkProgressed):
            heard.setdefault((event.chunk, round(event.frames_done)), time.time())

    async def run(folder: str) -> None:
        worker = open_worker("aws-lambda", function="heliostat", artifacts=f"s3://{BUCKET}")
        await JobExecutor(worker).execute(
            spec, JobExecutionOptions(job_dir=folder, concurrency=samples, on_event=on_event)
        )

    latencies = []
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))
        for index in range(samples):
            (log,) = Path(folder).rglob(f"{index:06d}-1.log")
            for line in log.read_text().splitlines():
                _, frame, clock = line.split()
                if (when := heard.get((index, int(frame)))) is not None:
                    latencies.append(when - float(clock))
    return latencies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--invocations", type=int, default=400)
    parser.add_argument("--chunks", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.concurrency)
        return
    with cloud(given.concurrency):
        quick, at_once = job(given.invocations, "true"), 8
        bare(job(at_once * 4, "true"), at_once, reports=True)  # warm
        for reports in (False, True):
            ratios = []
            for _ in range(given.runs):
                floor = bare(quick, at_once, reports=reports)
                adapter = ours(quick, at_once, reports="sqs" if reports else "off")
                ratios.append(adapter / floor)
                each = 1000 / given.invocations
                print(
                    f"{given.invocations} invocations, {at_once} at once, reports {'on' if reports else 'off'}: boto3"
                    f" {floor * each:.2f} ms each, adapter {adapter * each:.2f} ms ({adapter / floor:.3f})",
                    flush=True,
                )
            print(f"median ratio {statistics.median(ratios):.3f}", flush=True)
        latencies = sorted(frames_latency(4))
        print(
            f"frames from command to sink, {len(latencies)} samples: median {statistics.median(latencies):.2f} s,"
            f" longest {latencies[-1]:.2f} s",
            flush=True,
        )
        long, many = job(given.chunks, "sleep 1"), given.concurrency
        bare(job(many, "sleep 1"), many, reports=True)  # warm
        floor, adapter = bare(long, many, reports=True), ours(long, many)
        print(
            f"{given.chunks} chunks of 1 s, {many} at once: ideal {given.chunks / many:.1f} s, boto3 {floor:.1f} s,"
            f" adapter {adapter:.1f} s: {adapter / floor:.2f} times what the stand-in bears",
            flush=True,
        )


if __name__ == "__main__":
    main()
