"""Studio's page: how soon it shows what was committed, what it costs, and what fifty visitors cost the coordinator.

uv run python tests/bench/studio_page.py latency | load | crowd | tabs

The job is run by a coordinator of this benchmark, in a process of its own, whose attempts do nothing but end evenly at
a given rate; Studio's own coordinator process has nothing to do. Chromium is looked for on PATH.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import html
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from fractions import Fraction
from pathlib import Path

import aiohttp
import socketio
from playwright.async_api import Browser, Page, async_playwright
from playwright.async_api import Error as PageError

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

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
SLOTS = 50
FRAMES = 10


class Metronome(WorkerAdapter):
    """Ends attempts evenly, `rate` a second, from when it is told to go."""

    limits = WorkerLimits(default_concurrency=SLOTS)

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.go = asyncio.Event()
        self.began = 0.0

    async def run(self, request, report):
        await self.go.wait()
        due = self.began + (request.chunk.start_frame / FRAMES + 1) / self.rate
        await asyncio.sleep(due - time.perf_counter())
        return ChunkResult(exit_code=0, duration=0.0)


async def coordinate(folder: Path, job_id: str, chunks: int, rate: float) -> None:
    """Run a job, when standard input has a line; write when each of its commits was told, and what it took."""
    spec = JobSpec(
        id=job_id,
        metadata=Metadata(total_frames=chunks * FRAMES, fps=Fraction(24)),
        chunks=tuple(
            Chunk(id=n, start_frame=n * FRAMES, frame_count=FRAMES, output_file=f"{n}.out", command=("true",))
            for n in range(chunks)
        ),
    )
    told: list[tuple[int, float]] = []

    async def hear(event: object) -> None:
        if isinstance(event, ChunkSucceeded):
            told.append((event.completed_chunks, time.time()))

    worker = Metronome(rate)
    async with JobManager(open_repository(f"sqlite:///{folder / 'jobs.db'}"), JobExecutor(worker)) as manager:
        await manager.submit(spec, JobExecutionOptions(job_dir=folder, on_event=hear))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        worker.began, cpu = time.perf_counter(), time.process_time()
        worker.go.set()
        stopping = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        ended = asyncio.create_task(manager.wait(job_id))
        await asyncio.wait([stopping, ended], return_when=asyncio.FIRST_COMPLETED)
        took, spent = time.perf_counter() - worker.began, time.process_time() - cpu
    print(json.dumps({"told": told, "took": took, "cpu": spent}), flush=True)
    os._exit(0)  # a thread may still wait for standard input


class Coordinator:
    def __init__(self, folder: Path, job_id: str, chunks: int, rate: float) -> None:
        self.job_id = job_id
        self._process = subprocess.Popen(
            [sys.executable, __file__, "coordinate", str(folder), job_id, str(chunks), str(rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        self._out, self._in = self._process.stdout, self._process.stdin
        assert self._out.readline() == "ready\n"

    def go(self) -> None:
        self._in.write("go\n")
        self._in.flush()

    def stop(self) -> dict[str, object]:
        """End it, finished or not; returns what it wrote."""
        with contextlib.suppress(BrokenPipeError):
            self._in.write("stop\n")
            self._in.flush()
        return self.wait()

    def wait(self) -> dict[str, object]:
        result = json.loads(self._out.readline())
        self._process.wait()
        return result


@contextlib.contextmanager
def studio(folder: Path) -> Iterator[tuple[str, int]]:
    """Its address, and the id of its web process."""
    process = subprocess.Popen(
        [*(sys.executable, "-m", "heliostat", "studio", "--port", "0"), "--db", folder / "jobs.db", "--dir", folder],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HELIOSTAT_PLUGINS": ""},
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"serves at (http://\S+)", line):
                break
        else:
            raise SystemExit("Studio does not start")
        yield found[1], process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.asynccontextmanager
async def chromium(program: str | Path | None = None) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        program = program or shutil.which("chromium")
        browser = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        await browser.close()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def renderers() -> dict[int, float]:
    """CPU seconds of this process's Chromium renderers, by process id."""
    parents, found = {}, []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid = int(stat.parent.name)
            parents[pid] = int(stat.read_text().rpartition(")")[2].split()[1])
            if b"--type=renderer" in (stat.parent / "cmdline").read_bytes():
                found.append(pid)

    def is_ours(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid == os.getpid()

    return {pid: cpu_seconds(pid) for pid in found if is_ours(pid)}


WATCH = """() => {
  window.seen = [];
  const shown = document.querySelector("[data-stat='Chunks']");
  const note = () => window.seen.push([parseInt(shown.textContent.replaceAll(",", "")), Date.now() / 1000]);
  new MutationObserver(note).observe(shown, { childList: true, characterData: true, subtree: true });
}"""


SHOWN = "document.querySelector(\"[data-stat='Chunks']\")?.innerText"


async def usable(page: Page, address: str, chunks: int) -> float:
    """Seconds until the numbers and the map of all chunks are there and a chunk of it can be asked for."""
    began = time.perf_counter()
    await page.goto(address, wait_until="commit")
    await page.wait_for_selector(f"canvas[data-cells='{chunks}']")
    await page.locator("canvas").first.focus()
    await page.keyboard.press("End")
    await page.wait_for_selector(f".tip:has-text('Chunk {chunks - 1}')")
    return time.perf_counter() - began


def tell(name: str, seconds: list[float]) -> None:
    waits = sorted(1000 * wait for wait in seconds)
    p95 = waits[int(0.95 * (len(waits) - 1))]
    print(f"{name}: median {statistics.median(waits):.0f} ms, p95 {p95:.0f} ms, most {waits[-1]:.0f} ms ({len(waits)})")


async def latency(folder: Path, seconds: float) -> None:
    """From a chunk's commit, as the coordinator's own `on_event` is told of it, to the number in the DOM."""
    with studio(folder) as (url, _):
        async with chromium() as browser:
            for rate in (2.0, 20.0, 200.0):
                coordinator = Coordinator(folder, f"latency-{rate:.0f}", 1_000, rate)
                page = await browser.new_page()
                await usable(page, f"{url}/jobs/{coordinator.job_id}", 1_000)
                await page.evaluate(WATCH)
                coordinator.go()
                await asyncio.sleep(min(seconds, 1_000 / rate))
                told = await asyncio.to_thread(coordinator.stop)
                await asyncio.sleep(1)
                seen = await page.evaluate("window.seen")
                await page.close()
                waits = []
                for completed, committed in told["told"]:
                    shown = [at for number, at in seen if number >= completed]
                    if shown:
                        waits.append(min(shown) - committed)
                tell(f"commit to DOM, 1,000 chunks, {rate:.0f} a second", waits)


async def load(folder: Path, seconds: float) -> None:
    """A job of 10,000 chunks, 200 of which succeed each second."""
    with studio(folder) as (url, web):
        async with chromium() as browser:
            coordinator = Coordinator(folder, "large", 10_000, 200.0)
            address = f"{url}/jobs/large"
            context = await browser.new_context()
            await visit("first visit, empty cache, nothing ends yet", await context.new_page(), address, web)
            coordinator.go()
            await asyncio.sleep(5)
            idle = await spent(web, seconds / 2)
            print(f"web process without a page: {idle[0]:.1f} % of a core")
            for number in range(1, 4):
                await visit(f"visit {number}, 200 chunks a second", await context.new_page(), address, web)
            page = await context.new_page()
            await usable(page, address, 10_000)
            await asyncio.sleep(1)
            own, renderer = await spent(web, seconds)
            result = await asyncio.to_thread(coordinator.stop)
            reached = len(result["told"]) / result["took"]
            print(
                f"one page, {reached:.0f} chunks a second: web process {own:.1f} %, renderer {renderer:.1f} % of a core"
            )


async def visit(name: str, page: Page, address: str, web: int) -> None:
    """Wall time, and what it takes of CPU, which other programs on the machine do not change."""
    before, own = renderers(), cpu_seconds(web)
    took = await usable(page, address, 10_000)
    drawing = sum(seconds - before.get(pid, 0.0) for pid, seconds in renderers().items())
    print(
        f"{name}: usable after {took:.2f} s; CPU: web process {cpu_seconds(web) - own:.2f} s, renderer {drawing:.2f} s"
    )
    await page.close()


async def spent(web: int, seconds: float) -> tuple[float, float]:
    """Percent of a core that the web process and the renderers take."""
    before, own, began = renderers(), cpu_seconds(web), time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    after = renderers()
    drawing = sum(after[pid] - before.get(pid, 0.0) for pid in after)
    return 100 * (cpu_seconds(web) - own) / took, 100 * drawing / took


class Visitor:
    """What a browser is to Studio, without anything to draw on: it says at once that it has drawn."""

    def __init__(self, http: aiohttp.ClientSession, url: str, path: str) -> None:
        self._http, self._url, self._path = http, url, path
        self._socket = socketio.AsyncClient(http_session=http)
        self.beats = 0

    async def come(self) -> None:
        async with self._http.get(self._url + self._path, headers={"Accept": "text/html"}) as answer:
            page = await answer.text()
        elements = json.loads(html.unescape(page.partition("parseElements(String.raw`")[2].partition("`")[0]))
        self._client = re.search(r"'client_id': '([0-9a-f-]+)'", page)[1]
        self._listeners = {
            (int(number), event["type"]): event["listener_id"]
            for number, element in elements.items()
            for event in element.get("events", ())
        }
        self._socket.on("run_javascript", self._run)
        query = f"client_id={self._client}&document_id={uuid.uuid4()}&tab_id={uuid.uuid4()}&next_message_id=0"
        await self._socket.connect(
            f"{self._url}?{query}&implicit_handshake=true",
            socketio_path="/_nicegui_ws/socket.io",
            transports=["websocket"],
        )
        for number, kind in self._listeners:
            if kind == "ready":
                await self._tell(number, kind)

    async def leave(self) -> None:
        await self._socket.disconnect()

    async def _run(self, message: dict[str, str]) -> None:
        if beat := re.search(r'runMethod\((\d+), "beat", \[(\d+)\]\)', message["code"]):
            self.beats += 1
            await self._tell(int(beat[1]), "drawn", beat[2])

    async def _tell(self, number: int, kind: str, *args: str) -> None:
        event = {"id": number, "client_id": self._client, "listener_id": self._listeners[number, kind], "args": args}
        await self._socket.emit("event", event)


async def crowd(folder: Path, seconds: float, visitors: int, rounds: int) -> None:
    """A coordinator at 200 chunks a second, watched by nobody and by many, in turns.

    The visitors are clients of socket.io in this process, as fifty tabs of Chromium would measure Chromium."""
    alone, watched = [], []
    async with aiohttp.ClientSession() as http:
        with studio(folder) as (url, web):
            for turn in range(2 * rounds):
                job_id, chunks = f"crowd-{turn}", int(200 * seconds)
                coordinator = Coordinator(folder, job_id, chunks, 200.0)
                crowd = [Visitor(http, url, f"/jobs/{job_id}") for _ in range(visitors * (turn % 2))]
                for visitor in crowd:
                    await visitor.come()
                await asyncio.sleep(1)
                own = cpu_seconds(web)
                coordinator.go()
                result = await asyncio.to_thread(coordinator.wait)
                (watched if turn % 2 else alone).append(result)
                share = 100 * (cpu_seconds(web) - own) / result["took"]
                beats = sum(visitor.beats for visitor in crowd) / max(1, len(crowd)) / result["took"]
                print(
                    f"{len(crowd)} visitors: {chunks / result['took']:.1f} chunks/s, coordinator's CPU"
                    f" {1e6 * result['cpu'] / chunks:.0f} µs a chunk; web process {share:.0f} % of a core;"
                    f" {beats:.1f} sendings a second to each"
                )
                for visitor in crowd:
                    await visitor.leave()
    for name in ("took", "cpu"):
        before, after = (statistics.median(result[name] for result in results) for results in (alone, watched))
        print(f"with {visitors} visitors, {name}: {100 * (after / before - 1):+.1f} %")


async def outcome(page: Page, numbers: str) -> int | None:
    """How often a tab was brought up to date, once it shows these numbers; None when it has loaded itself again: one
    that gets no processor for long loses its connection, and its page."""
    while True:
        try:
            await page.wait_for_function(f"{SHOWN} === '{numbers}'", polling=500)
            seen: int | None = await page.evaluate("window.seen?.length ?? null")
            return seen
        except PageError as error:
            if "navigation" not in str(error):
                raise


async def tabs(folder: Path, visitors: int, rounds: int) -> None:
    """A job of 1,000 chunks, 50 a second, watched by nobody and by tabs of one Chromium, in turns.

    Chromium has the lowest priority, so that the coordinator and Studio go before it where the cores do not suffice for
    all: what is measured is Studio's part, and not that of fifty pages that are drawn. Each tab is drawn, as Playwright
    has it believe that it is seen. Where Chromium cannot keep up, it is sent less, as it would be anywhere."""
    program = folder / "chromium"
    program.write_text(f'#!/bin/sh\nexec nice -n 19 "{shutil.which("chromium")}" "$@"\n')
    program.chmod(0o755)
    chunks = 1_000
    results: dict[bool, list[dict[str, object]]] = {False: [], True: []}
    with studio(folder) as (url, web):
        for turn in range(2 * rounds):
            is_watched = turn % 2 == 1
            coordinator = Coordinator(folder, f"tabs-{turn}", chunks, 50.0)
            async with contextlib.AsyncExitStack() as stack:
                pages: list[Page] = []
                if is_watched:
                    context = await (await stack.enter_async_context(chromium(program))).new_context()
                    context.set_default_timeout(120_000)
                    began = time.perf_counter()
                    for _ in range(visitors):
                        pages.append(await context.new_page())
                        await pages[-1].goto(f"{url}/jobs/{coordinator.job_id}", wait_until="commit")
                        await pages[-1].wait_for_selector(f"canvas[data-cells='{chunks}']")
                        await pages[-1].evaluate(WATCH)
                    print(f"{visitors} tabs are open after {time.perf_counter() - began:.0f} s", flush=True)
                own, drawn = cpu_seconds(web), renderers()
                coordinator.go()
                result = await asyncio.to_thread(coordinator.wait)
                results[is_watched].append(result)
                took, each = result["took"], 1e6 * result["cpu"] / chunks
                share = 100 * (cpu_seconds(web) - own) / took
                drawing = 100 * sum(now - drawn.get(pid, 0.0) for pid, now in renderers().items()) / took
                print(
                    f"{len(pages)} tabs: {took:.2f} s, coordinator's CPU {each:.0f} µs a chunk;"
                    f" of a core: web process {share:.0f} %, renderers {drawing:.0f} %",
                    flush=True,
                )
                if pages:
                    found = [await outcome(page, "1,000 / 1,000") for page in pages]
                    late = time.time() - result["told"][-1][1]
                    seen = [number for number in found if number is not None]
                    print(
                        f"all show the end {late:.0f} s later; {found.count(None)} were loaded again meanwhile,"
                        f" the others were brought up to date {statistics.mean(seen or [0]):.0f} times each",
                        flush=True,
                    )
    for name in ("took", "cpu"):
        before, after = (statistics.median(result[name] for result in results[watched]) for watched in (False, True))
        print(f"with {visitors} tabs, {name}: {100 * (after / before - 1):+.1f} %")


def main() -> None:
    if sys.argv[1:2] == ["coordinate"]:
        folder, job_id, chunks, rate = sys.argv[2:]
        asyncio.run(coordinate(Path(folder), job_id, int(chunks), float(rate)))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["latency", "load", "crowd", "tabs"])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        match args.what:
            case "latency":
                asyncio.run(latency(Path(name), args.seconds))
            case "load":
                asyncio.run(load(Path(name), args.seconds))
            case "crowd":
                asyncio.run(crowd(Path(name), args.seconds, args.visitors, args.rounds))
            case "tabs":
                asyncio.run(tabs(Path(name), args.visitors, args.rounds))
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
