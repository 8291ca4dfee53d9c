"""What can be asked of a job. Whoever runs it, here or elsewhere, hears of it within a second."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from heliostat import JobStatus, JobView, view_job
from heliostat.studio.api.openapi import answer, answers
from heliostat.studio.api.parameters import InStudio, JobId

router = APIRouter(tags=["control"])

_ASKED = answers(JobView, 404, 409, 503, status=202)


@router.post("/jobs/{job_id}/pause", summary="Let running chunks finish and start no more", **_ASKED)
async def pause(studio: InStudio, job_id: JobId) -> Response:
    return _told(await studio.manager.pause(job_id))


@router.post("/jobs/{job_id}/resume", summary="Run what is missing of a job", **_ASKED)
async def resume(studio: InStudio, job_id: JobId) -> Response:
    """The job is `pending` until a coordinator takes it."""
    return _told(await studio.manager.enqueue(job_id))


@router.post("/jobs/{job_id}/retry", summary="Run only the failed chunks of a job again", **_ASKED)
async def retry(studio: InStudio, job_id: JobId) -> Response:
    """The job is `pending` until a coordinator takes it."""
    return _told(await studio.manager.enqueue(job_id, failed_only=True))


@router.post("/jobs/{job_id}/cancel", summary="Stop a job and its running chunks", **_ASKED)
async def cancel(studio: InStudio, job_id: JobId) -> Response:
    return _told(await studio.manager.cancel(job_id))


@router.delete(
    "/jobs/{job_id}",
    summary="Forget a job and delete its logs, not its outputs",
    **answers(None, 404, 409, 503, status=204),
)
async def delete(studio: InStudio, job_id: JobId) -> Response:
    await studio.manager.delete(job_id)
    return Response(status_code=204)


def _told(job: JobStatus) -> Response:
    return answer(view_job(job), 202)
