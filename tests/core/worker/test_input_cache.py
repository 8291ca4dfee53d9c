"""Inputs that several workers of one machine keep in one folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliostat import Artifact, ArtifactStore, AttemptFailed, Chunk, JobState, open_artifact_store, open_worker
from heliostat.contracts.artifacts import input_key
from heliostat.model.codec import to_json
from heliostat.model.inputs import Input, Manifest
from heliostat.testing.trial import Trial, film
from heliostat.worker.input_cache import InputCache


class Slow(ArtifactStore):
    """A store that takes its time for one of its files."""

    def __init__(self, url: str, slow: str = "") -> None:
        self._store = open_artifact_store(url)
        self.url = self._store.url
        self._slow = slow
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __aenter__(self) -> Slow:
        await self._store.__aenter__()
        return self

    async def get(self, key: str, destination: Path) -> Artifact:
        if key == self._slow:
            self.asked.set()
            await self.go_on.wait()
        return await self._store.get(key, destination)

    async def put(self, key: str, source: Path, *, if_absent: bool = False) -> Artifact:
        return await self._store.put(key, source, if_absent=if_absent)

    async def stat(self, key: str) -> Artifact | None:
        return await self._store.stat(key)

    async def list(self, prefix: str = "") -> list[Artifact]:
        return await self._store.list(prefix)

    async def delete(self, prefix: str) -> int:
        return await self._store.delete(prefix)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path / 'store'}"


@pytest.fixture
def store_inputs(url: str, tmp_path: Path) -> Callable[..., Any]:
    """Stores files with these contents, named by them; returns the manifest's key."""

    async def put(store: ArtifactStore, content: bytes) -> str:
        source = tmp_path / "source"
        source.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        await store.put(input_key(digest), source)
        return digest

    async def make(*contents: str) -> str:
        async with open_artifact_store(url) as store:
            inputs = [
                Input(path=f"in/{each}", size=len(each), sha256=await put(store, each.encode())) for each in contents
            ]
            return input_key(await put(store, to_json(Manifest(tuple(inputs)))))

    return make


def attempt(folder: Path) -> tuple[Path, Path]:
    for name in ("job", "own"):
        (folder / name).mkdir(parents=True)
    return folder / "job", folder / "own"


async def test_what_one_worker_deletes_another_has_all_the_same(url: str, store_inputs: Any, tmp_path: Path):
    """Two with no room for anything, as two processes have it: neither knows of the other. While the first waits for
    its second file, the other deletes all that there is."""
    mine, theirs = await store_inputs("sky", "sea"), await store_inputs("moon")
    async with (
        Slow(url, slow=input_key(hashlib.sha256(b"sea").hexdigest())) as slow,
        open_artifact_store(url) as store,
    ):
        laying = asyncio.create_task(InputCache(slow, tmp_path / "inputs", 0).lay_out(mine, *attempt(tmp_path / "1")))
        await slow.asked.wait()
        sky = tmp_path / "inputs" / hashlib.sha256(b"sky").hexdigest()
        while not sky.exists():
            await asyncio.sleep(0.01)
        await InputCache(store, tmp_path / "inputs", 0).lay_out(theirs, *attempt(tmp_path / "2"))
        assert not sky.exists()
        slow.go_on.set()
        await laying
    assert {path.name: path.read_text() for path in (tmp_path / "1/job/in").iterdir()} == {"sky": "sky", "sea": "sea"}
    assert (tmp_path / "2/job/in/moon").read_text() == "moon"
    assert list((tmp_path / "inputs").iterdir()) == []


async def test_two_workers_on_one_machine_share_their_inputs(
    served_worker: Callable[..., Any], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two processes of `heliostat worker serve` with one directory, and no room in it, so that each deletes what the
    other is about to copy."""
    token = secrets.token_urlsafe(16)
    monkeypatch.setenv("HELIOSTAT_WORKER_TOKEN", token)
    workers = [served_worker("-n", 4, "--cache", 0, directory=tmp_path / "worker", token=token) for _ in range(2)]
    try:
        adapter = open_worker("http", url=",".join(worker.url for worker in workers), artifacts=url)
        async with Trial(adapter, tmp_path) as trial:
            for number in range(40):
                (trial.job_dir / f"{number}.txt").write_text(f"{number}")
            command = ["sh", "-c", 'cat $(ls *.txt | sort -n) | tr -d "\\n" > "$1"', "sh"]
            spec = film(*[()] * 24, inputs=("*.txt",))
            chunks = [chunk_of(chunk, command) for chunk in spec.chunks]
            status = await trial.run(msgspec.structs.replace(spec, chunks=tuple(chunks)), concurrency=8, retries=0)
            assert status.state is JobState.COMPLETED, status.error
            assert [event.message for event in trial.told(AttemptFailed)] == []
        outputs = [path.read_text() for path in (tmp_path / "store/jobs/job/chunks").iterdir()]
        assert outputs == ["".join(map(str, range(40)))] * 24
    finally:
        for worker in workers:
            worker.close()
    assert [os.listdir(folder) for folder in tmp_path.glob("worker/*/inputs")] == [[]]


def chunk_of(chunk: Chunk, command: list[str]) -> Chunk:
    return msgspec.structs.replace(chunk, command=(*command, chunk.output_file))
