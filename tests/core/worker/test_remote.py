"""Chunks on a worker that has none of the coordinator's files: an adapter whose workers only know the store."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliostat import (
    Artifact,
    ArtifactStore,
    Cause,
    Chunk,
    ChunkReport,
    ChunkRequest,
    ChunkResult,
    JobExecutionOptions,
    JobExecutor,
    JobManager,
    JobSpec,
    JobState,
    JobStatus,
    WorkerAdapter,
    WorkerLimits,
    open_artifact_store,
    open_repository,
)
from heliostat.errors import ArtifactDenied, SpecError, WorkerLost
from heliostat.testing.trial import Trial, film
from heliostat.worker import RemoteWorker


class Silence:
    """A ChunkReport that nobody listens to."""

    def frames_done(self, frames: float, /) -> None: ...
    def log(self, stream: str, text: str, /) -> None: ...
    def heartbeat(self) -> None: ...


class Elsewhere(WorkerAdapter):
    """Runs chunks in a folder of its own; all that it shares with the coordinator is the store."""

    name = "elsewhere"
    limits = WorkerLimits(default_concurrency=2)

    def __init__(
        self,
        folder: Path,
        cache_limit: int = 1 << 30,
        open_store: Callable[[str], ArtifactStore] = open_artifact_store,
    ) -> None:
        """`open_store` opens the worker's own handle of the store."""
        self.artifacts = f"file://{folder / 'store'}"
        self.root = folder / "elsewhere"
        self.requests: list[ChunkRequest] = []
        self._cache_limit = cache_limit
        self._open_store = open_store

    async def __aenter__(self) -> Elsewhere:
        self._store = await self._open_store(self.artifacts).__aenter__()
        self._worker = RemoteWorker(self._store, self.root, cache_limit=self._cache_limit)
        return self

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        self.requests.append(request)
        return await self._worker.run(request, report, grace=0.5)

    @property
    def kept(self) -> set[str]:
        """What it keeps between attempts."""
        return {path.name for path in (self.root / "inputs").iterdir()}


@pytest.fixture
def job_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    (folder / "textures" / "deep").mkdir(parents=True)
    (folder / "scene.txt").write_text("scene")
    (folder / "textures" / "sky ☀.txt").write_text("sky")
    (folder / "textures" / "deep" / "moon.txt").write_text("moon")
    (folder / "draw.sh").write_text("#!/bin/sh\ncat scene.txt textures/sky* textures/deep/moon.txt\n")
    (folder / "draw.sh").chmod(0o755)
    (folder / "secret.txt").write_text("not an input")
    return folder


def spec_of(*scripts: str, **fields: Any) -> JobSpec:
    """One chunk for each shell script; its output is "$1"."""
    spec = film(*[()] * len(scripts), inputs=("scene.txt", "textures", "draw.sh"), **fields)
    chunks = tuple(
        msgspec.structs.replace(chunk, command=("sh", "-c", script, "sh", chunk.output_file))
        for chunk, script in zip(spec.chunks, scripts, strict=True)
    )
    return msgspec.structs.replace(spec, chunks=chunks)


async def run(worker: WorkerAdapter, spec: JobSpec, job_dir: Path, **options: Any) -> JobStatus:
    async with JobManager(open_repository(f"sqlite:///{job_dir}.db"), JobExecutor(worker)) as manager:
        given = JobExecutionOptions(**{"job_dir": job_dir, "retries": 0, "retry_delay": 0.0, **options})
        return await manager.wait(await manager.submit(spec, given))


async def test_commands_find_the_inputs_and_nothing_else(tmp_path: Path, job_dir: Path):
    worker = Elsewhere(tmp_path)
    status = await run(worker, spec_of('./draw.sh > "$1"', 'ls > "$1"; pwd >> "$1"'), job_dir)
    assert status.state is JobState.COMPLETED, status.error
    outputs = tmp_path / "store" / "jobs" / "job" / "chunks"
    assert (outputs / "0000.bin").read_text() == "sceneskymoon"
    *listed, where = (outputs / "0001.bin").read_text().splitlines()
    assert listed == ["chunks", "draw.sh", "scene.txt", "textures"]
    assert Path(where).is_relative_to(worker.root)
    assert not (job_dir / "chunks").exists(), "nothing is joined, so nothing is fetched"
    assert [path.name for path in worker.root.iterdir()] == ["inputs"], "attempts leave nothing"


class Counting(ArtifactStore):
    """Counts what is sent."""

    def __init__(self, url: str) -> None:
        self._store = open_artifact_store(url)
        self.url = self._store.url
        self.sent: list[str] = []

    async def __aenter__(self) -> Counting:
        await self._store.__aenter__()
        return self

    async def put(self, key: str, source: Path, *, if_absent: bool = False) -> Artifact:
        self.sent.append(key)
        return await self._store.put(key, source, if_absent=if_absent)

    async def get(self, key: str, destination: Path) -> Artifact:
        return await self._store.get(key, destination)

    async def stat(self, key: str) -> Artifact | None:
        return await self._store.stat(key)

    async def list(self, prefix: str = "") -> list[Artifact]:
        return await self._store.list(prefix)

    async def delete(self, prefix: str) -> int:
        return await self._store.delete(prefix)


async def test_unchanged_inputs_are_sent_once_across_jobs(tmp_path: Path, job_dir: Path):
    worker = Elsewhere(tmp_path)
    sent = []
    for number in range(3):
        if number == 2:
            (job_dir / "scene.txt").write_text("another scene")
        store = Counting(worker.artifacts)
        async with JobManager(open_repository("memory:"), JobExecutor(worker), artifacts=store) as manager:
            spec = spec_of('./draw.sh > "$1"', id=f"job{number}")
            status = await manager.wait(await manager.submit(spec, JobExecutionOptions(job_dir=job_dir)))
            assert status.state is JobState.COMPLETED, status.error
        sent.append([key for key in store.sent if key.startswith("inputs/")])
    assert [len(keys) for keys in sent] == [5, 0, 2], "four files and the manifest; nothing; one of each"
    assert (tmp_path / "store" / "jobs" / "job2" / "chunks" / "0000.bin").read_text() == "another sceneskymoon"


async def test_a_command_that_spoils_an_input_spoils_it_for_itself_alone(tmp_path: Path, job_dir: Path):
    spec = spec_of('echo spoilt > scene.txt; echo > left.txt; cat scene.txt > "$1"', 'ls > "$1"; ./draw.sh >> "$1"')
    status = await run(Elsewhere(tmp_path), spec, job_dir, concurrency=1)
    assert status.state is JobState.COMPLETED, status.error
    second = (tmp_path / "store" / "jobs" / "job" / "chunks" / "0001.bin").read_text()
    assert second.splitlines() == ["chunks", "draw.sh", "scene.txt", "textures", "sceneskymoon"]


async def test_a_warm_worker_fetches_nothing_again(tmp_path: Path, job_dir: Path):
    worker = Elsewhere(tmp_path)
    await run(worker, spec_of('./draw.sh > "$1"'), job_dir)
    for path in (tmp_path / "store" / "inputs").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    async with worker:
        result = await worker.run(msgspec.structs.replace(worker.requests[0], attempt_id="2"), Silence())
    assert result.exit_code == 0, result.message


async def test_inputs_that_are_gone_from_the_store_lose_the_worker(tmp_path: Path, job_dir: Path):
    worker = Elsewhere(tmp_path)
    await run(worker, spec_of('./draw.sh > "$1"'), job_dir)
    shutil.rmtree(tmp_path / "store" / "inputs")
    shutil.rmtree(worker.root)
    async with worker:
        with pytest.raises(WorkerLost, match=r"the inputs could not be fetched: .*does not exist"):
            await worker.run(worker.requests[0], Silence())


class Locked(Counting):
    """Denies access to one of its calls, as a bucket does whose policy lacks a role."""

    def __init__(self, url: str, call: str) -> None:
        super().__init__(url)
        self._denied = call

    async def put(self, key: str, source: Path, *, if_absent: bool = False) -> Artifact:
        self._need("put")
        return await super().put(key, source, if_absent=if_absent)

    async def get(self, key: str, destination: Path) -> Artifact:
        self._need("get")
        return await super().get(key, destination)

    def _need(self, call: str) -> None:
        if call == self._denied:
            raise ArtifactDenied("access is denied; ask for it")


@pytest.mark.parametrize("call", ["get", "put"])
async def test_a_store_that_denies_access_ends_the_job_at_once(tmp_path: Path, job_dir: Path, call: str):
    """To the worker; the coordinator has all rights."""
    worker = Elsewhere(tmp_path, open_store=lambda url: Locked(url, call))
    status = await run(worker, spec_of('cat scene.txt > "$1"'), job_dir, retries=3)
    assert status.state is JobState.FAILED
    assert status.metrics.failures == {Cause.MISCONFIGURED: 1}
    assert "access is denied; ask for it" in (status.error or "")


async def test_the_cache_keeps_what_was_used_last(tmp_path: Path, job_dir: Path):
    worker = Elsewhere(tmp_path, cache_limit=2_000)
    for number in range(3):
        (job_dir / "scene.txt").write_text(str(number) * 800)
        status = await run(worker, spec_of('cp scene.txt "$1"', id=f"job{number}"), job_dir)
        assert status.state is JobState.COMPLETED, status.error
    kept = sum(path.stat().st_size for path in (worker.root / "inputs").iterdir())
    assert kept <= 2_000
    digests = [artifact.sha256 for artifact in await listed(worker, "inputs/")]
    assert worker.kept <= {*digests, *(name for name in worker.kept if name.endswith(".json"))}


async def listed(worker: Elsewhere, prefix: str) -> list[Artifact]:
    async with open_artifact_store(worker.artifacts) as store:
        return await store.list(prefix)


async def test_an_output_s_address_has_the_settings_of_its_store_last(tmp_path: Path):
    class Tuned(Counting):
        def __init__(self, url: str) -> None:
            super().__init__(url)
            self.url += "?region=moon"

    chunk = Chunk(id=0, start_frame=0, frame_count=1, output_file="a.bin", command=())
    command = ["sh", "-c", 'echo > "$HELIOSTAT_OUTPUT"']
    request = ChunkRequest(job_id="job", chunk=chunk, attempt=1, attempt_id="1", command=command, job_dir=str(tmp_path))
    async with Tuned(f"file://{tmp_path}/store") as store:
        result = await RemoteWorker(store, tmp_path / "worker", cache_limit=0).run(request, Silence())
    assert [output.url for output in result.outputs] == [f"file://{tmp_path}/store/jobs/job/a.bin?region=moon"]


async def test_absolute_paths_lead_into_the_workers_own_directory(tmp_path: Path, job_dir: Path):
    spec = spec_of("")
    (chunk,) = spec.chunks
    output = str(job_dir / "chunks" / "a.bin")
    command = ("sh", "-c", 'cat "$2" "$FONT" > "${1#--output=}"', "sh", f"--output={output}", f"{job_dir}/scene.txt")
    chunk = msgspec.structs.replace(chunk, output_file=output, command=command)
    spec = msgspec.structs.replace(spec, chunks=(chunk,), env={"FONT": f"{job_dir}/textures/deep/moon.txt"})
    async with Trial(Elsewhere(tmp_path), tmp_path) as trial:
        status = await trial.run(spec, job_dir=job_dir)
        assert status.state is JobState.COMPLETED, status.error
        (attempt,) = await trial.attempts(0)
        assert attempt.result is not None
        assert attempt.result.outputs[0].path == output
        assert attempt.result.outputs[0].url == f"file://{tmp_path}/store/jobs/job/chunks/a.bin"
    assert (tmp_path / "store" / "jobs" / "job" / "chunks" / "a.bin").read_text() == "scenemoon"


async def test_a_job_directory_that_holds_everything_moves_no_path(tmp_path: Path):
    """Programs and arguments that are empty stay what they are."""
    store = open_artifact_store(f"file://{tmp_path / 'store'}")
    chunk = Chunk(id=0, start_frame=0, frame_count=1, output_file="a.bin", command=())
    command = ["/bin/sh", "-c", 'printf %s "<$2>" > "$1"', "sh", "a.bin", ""]
    request = ChunkRequest(job_id="job", chunk=chunk, attempt=1, attempt_id="1", command=command, job_dir="/")
    async with store:
        worker = RemoteWorker(store, tmp_path / "worker", cache_limit=0)
        assert (await worker.run(request, Silence())).exit_code == 0
    assert (tmp_path / "store" / "jobs" / "job" / "a.bin").read_text() == "<>"


async def test_what_a_killed_worker_has_left_is_removed(tmp_path: Path):
    async with open_artifact_store(f"file://{tmp_path / 'store'}") as store:
        dead = await asyncio.create_subprocess_exec("true")
        await dead.wait()
        for pid in (dead.pid, os.getpid(), os.getppid()):
            (tmp_path / "worker" / f"attempt-{pid}-x" / "job").mkdir(parents=True)
        chunk = Chunk(id=0, start_frame=0, frame_count=1, output_file="", command=())
        request = ChunkRequest(
            job_id="job", chunk=chunk, attempt=1, attempt_id="1", command=["true"], job_dir=str(tmp_path)
        )
        await RemoteWorker(store, tmp_path / "worker", cache_limit=0).run(request, Silence())
    assert [folder.name for folder in (tmp_path / "worker").iterdir()] == [f"attempt-{os.getppid()}-x"]


async def test_attempts_that_begin_at_once_are_not_taken_for_what_was_left(tmp_path: Path):
    """By the first of them, which looks for that."""
    chunk = Chunk(id=0, start_frame=0, frame_count=1, output_file="", command=())
    requests = [
        ChunkRequest(job_id="job", chunk=chunk, attempt=1, attempt_id=str(n), command=["true"], job_dir=str(tmp_path))
        for n in range(8)
    ]
    async with open_artifact_store(f"file://{tmp_path / 'store'}") as store:
        for number in range(15):
            worker = RemoteWorker(store, tmp_path / str(number), cache_limit=0)
            results = await asyncio.gather(*(worker.run(request, Silence()) for request in requests))
            assert [result.exit_code for result in results] == [0] * 8


async def test_a_merge_command_joins_here_what_it_fetches(tmp_path: Path, job_dir: Path):
    spec = spec_of('echo one > "$1"', 'echo two > "$1"', merge_command="sh -c 'cat chunks/*.bin > film.txt'")
    status = await run(Elsewhere(tmp_path), spec, job_dir)
    assert status.state is JobState.COMPLETED, status.error
    assert (job_dir / "film.txt").read_text() == "one\ntwo\n"


async def test_folders_of_outputs_are_fetched_whole(tmp_path: Path, job_dir: Path):
    spec = spec_of("", merge_command="sh -c 'cat frames/*/*.txt > film.txt'")
    (chunk,) = spec.chunks
    script = 'mkdir "$1/deep"; echo 1 > "$1/a 1.txt"; echo 2 > "$1/b.txt"; echo 3 > "$1/deep/c.txt"'
    chunk = msgspec.structs.replace(chunk, output_file="frames/all/", command=("sh", "-c", script, "sh", "frames/all/"))
    status = await run(Elsewhere(tmp_path), msgspec.structs.replace(spec, chunks=(chunk,)), job_dir)
    assert status.state is JobState.COMPLETED, status.error
    assert (job_dir / "film.txt").read_text() == "1\n2\n"
    assert (job_dir / "frames" / "all" / "deep" / "c.txt").read_text() == "3\n"


async def test_a_resumed_job_trusts_outputs_that_are_in_the_store(tmp_path: Path, job_dir: Path):
    async with Trial(Elsewhere(tmp_path), tmp_path) as trial:
        failed = await trial.run(
            spec_of('echo one > "$1"', '[ "$HELIOSTAT_ATTEMPT" = 2 ] && echo two > "$1"'),
            job_dir=job_dir,
            concurrency=1,
        )
        assert (failed.state, failed.completed_chunks) == (JobState.FAILED, 1)
        status = await trial.resume(job_dir=job_dir)
        assert status.state is JobState.COMPLETED, status.error
        assert len(await trial.attempts(0)) == 1


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["fonts/*"], "'fonts/\\*' matches no file in .*; correct it, or take it out"),
        (["../other"], "'../other' is not inside the job directory"),
        (["/etc/passwd"], "'/etc/passwd' is not inside the job directory"),
    ],
)
async def test_inputs_that_are_not_there_fail_the_job_before_it_begins(
    tmp_path: Path, job_dir: Path, inputs: list[str], message: str
):
    worker = Elsewhere(tmp_path)
    spec = msgspec.structs.replace(spec_of('./draw.sh > "$1"'), inputs=tuple(inputs))
    if "matches" not in message:
        with pytest.raises(SpecError, match=message):
            await run(worker, spec, job_dir)
    else:
        status = await run(worker, spec, job_dir)
        assert status.state is JobState.FAILED
        assert worker.requests == []


def test_what_heliostat_keeps_is_no_input(job_dir: Path):
    from heliostat.executor.inputs import _found

    (job_dir / ".heliostat" / "logs").mkdir(parents=True)
    (job_dir / ".heliostat" / "logs" / "log").write_text("x")
    found = {path.relative_to(job_dir).as_posix() for path in _found(job_dir, "**/*")}
    assert found == {"scene.txt", "draw.sh", "secret.txt", "textures/sky ☀.txt", "textures/deep/moon.txt"}
