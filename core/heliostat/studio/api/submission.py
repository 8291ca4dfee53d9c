"""Takes jobs: as JSON, or as an upload of a job file and the files that its commands read.

A job runs commands, so `POST /jobs` is for this machine alone unless Studio was started with --allow-submit.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

import msgspec
from fastapi import APIRouter
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from heliostat import JobDetails, from_json, view_details
from heliostat.errors import SpecError
from heliostat.studio.api.openapi import PREFIX, answer, answers, reference
from heliostat.studio.api.parameters import InStudio
from heliostat.studio.api.records import Submission, UploadTerms
from heliostat.studio.problems import Refused, problem
from heliostat.studio.security.callers import refusal_to_submit
from heliostat.studio.uploads import Upload, submit

if TYPE_CHECKING:
    from heliostat.studio.studio import Studio

MOST_FILES: Final = 10_000
"""Files of an upload."""
_PLACE: Final = re.compile(r" - at `([^`]*)`$")

T = TypeVar("T")

router = APIRouter(tags=["jobs"])


@router.post(
    "/jobs",
    summary="Submit a job",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": reference("Submission")},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["job"],
                        "properties": {
                            "job": {"type": "string", "format": "binary", "description": "A job file."},
                            "files": {
                                "type": "array",
                                "items": {"type": "string", "format": "binary"},
                                "description": "Files that its commands read; their names are paths beside it.",
                            },
                            "terms": {"type": "string", "description": "JSON: `UploadTerms`."},
                        },
                    },
                },
            },
        }
    },
    **answers(JobDetails, 400, 403, 409, 413, 415, 422, 503, 507, status=201),
)
async def submit_job(studio: InStudio, request: Request) -> Response:
    """The job is `pending`, until a coordinator takes it. Its address is in `Location`."""
    reason = refusal_to_submit(request.scope, studio.settings.allow_submit)
    if reason is not None:
        raise Refused(problem(403, reason, name="submit-off"))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        given = await asyncio.to_thread(_decoded, await request.body(), Submission)
        job = bytes(given.job)
        if not job.startswith(b"{"):
            raise SpecError("the job is no object", path="$.job")
        upload = Upload(file_name="job.json", job=job, job_dir=given.job_dir, place="$.job")
        job_id = await submit(studio, upload, given.options, given.worker)
    elif kind == "multipart/form-data":
        job_id = await _uploaded(studio, request)
    else:
        raise Refused(problem(415, "send application/json or multipart/form-data"))
    status = await studio.manager.get(job_id)
    address = f"{PREFIX}/jobs/{quote(job_id, safe='')}"
    return answer(await view_details(studio.repository, status), 201, Location=address)


async def _uploaded(studio: Studio, request: Request) -> str:
    try:
        form = await request.form(max_files=MOST_FILES, max_fields=10)
    except HTTPException as error:
        raise Refused(problem(400, f"the form cannot be read: {error.detail}", name="malformed")) from None
    try:
        for field in form:
            if field not in ("job", "files", "terms"):
                raise SpecError(f"an upload has the fields job, files and terms, but not {field[:100]!r}", path=field)
        jobs, files = _files(form, "job"), _files(form, "files")
        if len(jobs) != 1:
            raise SpecError("an upload has one file in the field job", path="job")
        terms = form.get("terms", "{}")
        if not isinstance(terms, str):
            terms = (await terms.read()).decode("utf-8", "replace")
        given = await asyncio.to_thread(_decoded, terms.encode(), UploadTerms)
        upload = Upload(
            file_name=jobs[0].filename or "job",
            job=await jobs[0].read(),
            files=[(one.filename or "", one.file) for one in files],
            job_dir=given.job_dir,
        )
        if upload.files and upload.job_dir is not None:
            raise SpecError(
                "files come with a job that has a job directory already; leave one of them out", path="files"
            )
        return await submit(studio, upload, given.options, given.worker)
    finally:
        await form.close()


def _files(form: FormData, field: str) -> Sequence[UploadFile]:
    found = [one for one in form.getlist(field) if not isinstance(one, str)]
    if len(found) != len(form.getlist(field)):
        raise SpecError("what is sent here is a file, with a file name", path=field)
    return found


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return from_json(data, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        place = _PLACE.search(text)
        raise SpecError(_PLACE.sub("", text), path=place[1] if place else None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(problem(400, f"this is no JSON: {error}", name="malformed")) from None
