"""Jobs: all of them, one of them, and its specification."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from heliostat import JobDetails, JobSpec, JobState, to_json, view_details, view_job
from heliostat.studio.api.openapi import answer, answers
from heliostat.studio.api.parameters import InStudio, JobId, Limit, Offset
from heliostat.studio.api.records import JobPage

FAILURES: Final = 100
"""Failed chunks that the details of a job tell of; `attempts?state=failed` tells of all."""
SLICE: Final = 5_000
"""Chunks of a specification that are encoded in one go."""

router = APIRouter(tags=["jobs"])


@router.get("/jobs", summary="List jobs, the newest first", **answers(JobPage, 422, 503))
async def list_jobs(
    studio: InStudio,
    state: Annotated[list[JobState] | None, Query(description="Only jobs in this state; may be repeated.")] = None,
    name: Annotated[
        str | None, Query(max_length=200, description="Only jobs with this in their name, whatever the case.")
    ] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    jobs = await studio.manager.list(state, name=name, limit=limit, offset=offset, with_chunks=False)
    counts = await studio.repository.count_jobs(name=name)
    total = sum(counts[one] for one in set(state or JobState))
    return answer(JobPage(jobs=[view_job(job) for job in jobs], total=total, limit=limit, offset=offset))


@router.get("/jobs/{job_id}", summary="Show what is known of a job", **answers(JobDetails, 404, 503))
async def show_job(studio: InStudio, job_id: JobId) -> Response:
    job = await studio.manager.get(job_id)
    return answer(await view_details(studio.repository, job, failures=FAILURES))


@router.get("/jobs/{job_id}/spec", summary="The specification, in the long form", **answers(JobSpec, 404, 503))
async def show_spec(studio: InStudio, job_id: JobId) -> Response:
    job = await studio.manager.get(job_id)

    async def parts() -> AsyncIterator[bytes]:
        """A million chunks are some hundred megabytes."""
        yield b'{"chunks":['
        for first in range(0, len(job.spec.chunks), SLICE):
            yield (b"," if first else b"") + to_json(job.spec.chunks[first : first + SLICE])[1:-1]
        yield b"]," + to_json(view_job(job).spec)[1:]

    return StreamingResponse(parts(), media_type="application/json")
