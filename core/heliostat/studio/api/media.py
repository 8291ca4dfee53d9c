"""The film, the outputs of chunks, and a picture of either. Only files inside the job directory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from heliostat import AttemptState, ChunkState, JobState, output_key
from heliostat.studio.api.openapi import file_answers
from heliostat.studio.api.parameters import Index, InStudio, JobId
from heliostat.studio.files import FileAnswer, media_type, open_inside
from heliostat.studio.problems import Problem, Refused, problem

if TYPE_CHECKING:
    from heliostat import JobStatus, Output
    from heliostat.studio.studio import Studio

router = APIRouter(tags=["media"])

_FILE = file_answers("*/*", 404, 503)
_PICTURE = file_answers("image/jpeg", 404, 503, parts=False)
OneFile = Annotated[
    str | None,
    Query(alias="file", max_length=4096, description="The path of one of several outputs."),
]


@router.head("/jobs/{job_id}/film", summary="The film, without its content", operation_id="head_film", **_FILE)
@router.get("/jobs/{job_id}/film", summary="The film", operation_id="get_film", **_FILE)
async def show_film(studio: InStudio, job_id: JobId) -> Response:
    """Ranges and conditions are understood. It is there once the job is completed."""
    job = await studio.manager.get(job_id)
    if job.output is None:
        reason = f"has no film yet; it is {job.state}"
        if job.state is JobState.COMPLETED:
            reason = "is completed, and names no film: that is what merge.output in the job file does"
        raise Refused(problem(404, f"job {job_id} {reason}", name="no-film"))
    file = await asyncio.to_thread(open_inside, _folder(job), job.output)
    if file is None:
        raise Refused(_elsewhere(job.output, await _film_url(studio, job)))
    return FileAnswer(file, media_type(job.output), name=Path(job.output).name)


@router.head(
    "/jobs/{job_id}/chunks/{index}/output",
    summary="What a chunk has delivered, without its content",
    operation_id="head_output",
    **_FILE,
)
@router.get(
    "/jobs/{job_id}/chunks/{index}/output",
    summary="What a chunk has delivered",
    operation_id="get_output",
    **_FILE,
)
async def show_output(studio: InStudio, job_id: JobId, index: Index, one: OneFile = None) -> Response:
    """Ranges and conditions are understood. It is there as soon as the chunk has succeeded, while others still run."""
    job = await studio.manager.get(job_id)
    outputs = await _outputs(studio, job, index)
    if one is not None:
        outputs = [output for output in outputs if output.path == one]
    if not outputs:
        raise Refused(problem(404, f"the chunk of index {index} has not delivered that", name="no-output"))
    path = outputs[0].path
    file = await asyncio.to_thread(open_inside, _folder(job), path)
    if file is None:
        raise Refused(_elsewhere(path, outputs[0].url))
    return FileAnswer(file, media_type(path), name=Path(path).name)


@router.get("/jobs/{job_id}/poster", summary="A picture of the film, or of what there is of it", **_PICTURE)
async def show_poster(studio: InStudio, request: Request, job_id: JobId) -> Response:
    """A JPEG of 640 pixels in width, made by ffmpeg of the film, or else of the first chunk that has succeeded."""
    job = await studio.manager.get(job_id)
    for path in await _pictured(studio, job):
        file = await asyncio.to_thread(open_inside, _folder(job), path)
        if file is not None:
            picture = await studio.posters.of(file, path)
            if picture is not None:
                return picture.answer(request)
    raise Refused(problem(404, f"there is nothing of job {job_id} here to make a picture of", name="no-poster"))


def _folder(job: JobStatus) -> Path:
    return Path(job.settings.job_dir or ".")


async def _outputs(studio: Studio, job: JobStatus, index: int) -> Sequence[Output]:
    """What the accepted attempt at a chunk has delivered; nothing where the chunk has not succeeded."""
    rows = await studio.repository.chunks(job.id, limit=1, offset=index)
    if not rows or rows[0].state is not ChunkState.SUCCEEDED:
        return ()
    attempts = await studio.repository.attempts(job.id, keys=[(index, rows[0].attempts)])
    if not attempts or attempts[0].state is not AttemptState.SUCCEEDED or attempts[0].result is None:
        return ()
    return attempts[0].result.outputs


async def _pictured(studio: Studio, job: JobStatus) -> Sequence[str]:
    """Paths to try, the best first."""
    paths = [] if job.output is None else [job.output]
    for chunk in await studio.repository.chunks(job.id, state=ChunkState.SUCCEEDED, limit=1):
        paths += [output.path for output in await _outputs(studio, job, chunk.index)][:1]
    return paths


def _elsewhere(path: str, url: str | None) -> Problem:
    if url is None:
        return problem(404, f"{path} is not in the job directory of this machine", name="not-here")
    return problem(404, f"{path} is not on this machine, but in an artifact store", name="elsewhere", url=url)


async def _film_url(studio: Studio, job: JobStatus) -> str | None:
    """Beside the outputs of the chunks; None where these are in no store."""
    assert job.output is not None
    for chunk in await studio.repository.chunks(job.id, state=ChunkState.SUCCEEDED, limit=1):
        for output in await _outputs(studio, job, chunk.index):
            store, found, _ = (output.url or "").partition(f"/{output_key(job.id, output.path, _folder(job))}")
            if found:
                return f"{store}/{output_key(job.id, job.output, _folder(job))}"
    return None
