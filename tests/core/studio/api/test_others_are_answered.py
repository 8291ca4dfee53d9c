"""While one request waits for a slow disk, or has much to be read, others are answered."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from heliostat import JobExecutionOptions, JobManager, executors, log_path, open_repository, parse_spec
from heliostat.studio.api import make_api
from heliostat.studio.coordinator import Coordinator
from heliostat.studio.coordinator_process import CoordinatorTask
from heliostat.studio.feed import Feeds
from heliostat.studio.settings import StudioSettings
from heliostat.studio.studio import Studio
from heliostat.worker import find_ffmpeg

HELD_UP = 5.0
"""Seconds after which another request counts as held up."""


class Slowness:
    """Makes a function take until another request has been answered, wherever it is called."""

    def __init__(self, http: httpx.AsyncClient, patch: pytest.MonkeyPatch) -> None:
        self._http = http
        self._loop = asyncio.get_running_loop()
        self._patch = patch
        self.answered: list[bool] = []
        """For each call, whether the other request was."""

    def of(self, owner: Any, name: str, is_meant: Callable[..., bool]) -> None:
        function = getattr(owner, name)

        def slow(*given: Any, **more: Any) -> Any:
            if is_meant(*given):
                self._wait()
            return function(*given, **more)

        self._patch.setattr(owner, name, slow)

    def _wait(self) -> None:
        other = asyncio.run_coroutine_threadsafe(self._http.get("version"), self._loop)
        try:
            self.answered.append(other.result(HELD_UP).status_code == 200)
        except TimeoutError:
            other.cancel()
            self.answered.append(False)


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[JobManager]:
    async with JobManager(open_repository(f"sqlite:///{tmp_path / 'jobs.db'}"), executors()) as manager:
        yield manager


@pytest.fixture
async def http(manager: JobManager, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API, which is in this process, with the disk and the JSON that a test makes slow."""
    repository = open_repository(f"sqlite:///{tmp_path / 'jobs.db'}")
    async with JobManager(repository) as without_executor:
        studio = Studio(
            settings=StudioSettings(db="", directory=tmp_path / "uploads"),
            repository=repository,
            manager=without_executor,
            coordinator=Coordinator(CoordinatorTask(db="", at_once=1)),
            feeds=Feeds(without_executor),
        )
        transport = httpx.ASGITransport(make_api(studio))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/") as client:
            yield client


@pytest.fixture
async def slowness(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> Slowness:
    return Slowness(http, monkeypatch)


async def test_files_are_opened_and_read_beside_the_requests(
    manager: JobManager, http: httpx.AsyncClient, slowness: Slowness, tmp_path: Path
) -> None:
    ffmpeg = find_ffmpeg()
    if ffmpeg is None:
        pytest.skip("needs ffmpeg: pip install heliostat[video]")
    source = ["-f", "lavfi", "-i", "testsrc2=size=64x36:rate=24,trim=end_frame=3", "-pix_fmt", "yuv420p"]
    document = {
        "id": "done",
        "frames": 3,
        "fps": 24,
        "chunkCount": 1,
        "output": "out/{chunk}.mp4",
        "command": [ffmpeg, "-nostdin", *source, "-y", "{output}"],
        "merge": {"stitcher": "ffmpeg", "output": "film.mp4"},
    }
    folder = tmp_path / "job"
    folder.mkdir()
    spec = parse_spec(json.dumps(document).encode(), "job.json", job_dir=folder)
    await manager.wait(await manager.submit(spec, JobExecutionOptions(job_dir=folder)))
    assert log_path(folder, "done", 0, 1).exists()

    inside = f"{folder}/"
    slowness.of(os, "open", lambda path, *_: str(path).startswith(inside))
    slowness.of(os, "pread", lambda number, *_: os.readlink(f"/proc/self/fd/{number}").startswith(inside))
    for path in ("film", "chunks/0/output", "chunks/0/attempts/1/log", "chunks/0/attempts/1/log?tail=10", "poster"):
        slowness.answered.clear()
        assert (await http.get(f"jobs/done/{path}")).status_code == 200
        assert slowness.answered, path
        assert all(slowness.answered), path


async def test_json_is_read_beside_the_requests(
    manager: JobManager, http: httpx.AsyncClient, slowness: Slowness
) -> None:
    slowness.of(msgspec.json, "decode", lambda *_: True)
    job = {"id": "given", "frames": 3, "fps": 24, "chunkCount": 1, "output": "{chunk}", "command": "true"}
    assert (await http.post("jobs", json={"job": job})).status_code == 201
    files = [("job", ("job.json", json.dumps({**job, "id": "uploaded"}).encode())), ("terms", b"{}")]
    assert (await http.post("jobs", files=files)).status_code == 201
    assert slowness.answered == [True, True]  # each job document, once


async def test_a_specification_is_checked_beside_the_requests(
    http: httpx.AsyncClient, slowness: Slowness, tmp_path: Path
) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    slowness.of(os.path, "abspath", lambda path: os.fspath(path) == str(folder))  # as the check of its outputs asks
    job = {"id": "checked", "frames": 3, "fps": 24, "chunkCount": 1, "output": "{chunk}", "command": "true"}
    assert (await http.post("jobs", json={"job": job, "jobDir": str(folder)})).status_code == 201
    assert slowness.answered
    assert all(slowness.answered)
