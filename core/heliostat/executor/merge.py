"""Joining the chunk outputs: by a command, run like a chunk, or by a stitcher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from heliostat.contracts.artifacts import output_key
from heliostat.contracts.stitcher import StitchRequest
from heliostat.contracts.worker import ChunkRequest
from heliostat.errors import AttemptError, StitchFailed
from heliostat.model.command import split_command
from heliostat.model.spec import Chunk
from heliostat.worker.transfers import transfer_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heliostat.contracts.artifacts import ArtifactStore
    from heliostat.contracts.stitcher import Stitcher
    from heliostat.contracts.worker import ChunkReport, WorkerAdapter
    from heliostat.model.spec import JobSpec


def how(spec: JobSpec) -> str | None:
    """The stitcher's name or the command; None when the specification joins nothing."""
    return spec.merge.stitcher if spec.merge is not None else spec.merge_command


async def stitch(spec: JobSpec, job_dir: Path, stitcher: Stitcher) -> str:
    """Join by a stitcher; returns the film's path as the specification has it. Raises StitchFailed."""
    assert spec.merge is not None
    await stitcher.stitch(
        StitchRequest(
            spec=spec,
            job_dir=str(job_dir),
            parts=tuple(chunk.output_file for chunk in spec.chunks),
            output=spec.merge.output,
        )
    )
    return spec.merge.output


async def fetch_outputs(spec: JobSpec, job_id: str, job_dir: Path, store: ArtifactStore) -> None:
    """Bring to this machine what a join needs and only the store has. Raises ArtifactError."""

    async def fetch(chunk: Chunk) -> None:
        here = job_dir / chunk.output_file
        if here.exists():
            return
        key = output_key(job_id, chunk.output_file, job_dir)
        if not chunk.output_file.endswith("/"):
            await store.get(key, here)
            return
        for artifact in await store.list(f"{key}/"):
            await store.get(artifact.key, here / artifact.key.removeprefix(f"{key}/"))

    await transfer_all(fetch, spec.chunks)


def command_chunk(spec: JobSpec) -> Chunk:
    """The chunk that stands for the merge command. The command names its own output, which is therefore neither
    renamed nor checked: `output_file` is empty."""
    return Chunk(
        id="merge",
        start_frame=spec.chunks[0].start_frame if spec.chunks else 0,
        frame_count=spec.metadata.total_frames,
        output_file="",
        command=spec.merge_command or "",
    )


async def run_merge_command(
    chunk: Chunk,
    job_id: str,
    attempt_id: str,
    job_dir: Path,
    worker: WorkerAdapter,
    report: ChunkReport,
    env: Mapping[str, str],
) -> None:
    """Run what `command_chunk` gave. Raises StitchFailed."""
    assert isinstance(chunk.command, str)
    request = ChunkRequest(
        job_id=job_id,
        chunk=chunk,
        attempt=1,
        attempt_id=attempt_id,
        command=split_command(chunk.command),
        env=dict(env),
        job_dir=str(job_dir),
    )
    try:
        result = await worker.run(request, report)
    except AttemptError as error:
        raise StitchFailed(f"the merge command failed: {error}", stderr_tail=error.stderr_tail) from error
    if result.exit_code != 0:
        reason = result.message or f"exit status {result.exit_code}"
        raise StitchFailed(f"the merge command failed: {reason}", stderr_tail=result.stderr_tail)
