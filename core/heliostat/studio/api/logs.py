"""What a command has written, as plain text. It grows while the command runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, BinaryIO, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from heliostat import log_path
from heliostat.studio.api.openapi import file_answers
from heliostat.studio.api.parameters import Index, InStudio, JobId, Number
from heliostat.studio.files import FileAnswer, open_inside
from heliostat.studio.problems import Refused, problem

TEXT: Final = "text/plain; charset=utf-8"
_BLOCK: Final = 64 << 10
"""Bytes that are looked through at once for the end of a line."""

_CONTINUATION: Final = bytes(range(0x80, 0xC0))
"""In UTF-8, bytes that are not the first of their character."""

router = APIRouter(tags=["logs"])


@router.get(
    "/jobs/{job_id}/chunks/{index}/attempts/{number}/log",
    summary="What an attempt has written on stdout and stderr",
    **file_answers("text/plain", 404, 503),
)
async def show_log(
    studio: InStudio,
    job_id: JobId,
    index: Index,
    number: Number,
    tail: Annotated[
        int | None,
        Query(ge=0, le=1 << 30, description="Only whole lines from the end, so many bytes at most."),
    ] = None,
) -> Response:
    """Ranges of bytes can be asked for. To follow it, ask for `bytes=N-` after the first N bytes, which is answered
    with 416 while there are no more. `Log-Start` is the place of the first byte of an answer to `tail`. The join of a
    job with N chunks is attempt 1 of the index N."""
    job = await studio.manager.get(job_id)
    folder = Path(job.settings.job_dir or ".")
    file = await asyncio.to_thread(open_inside, folder, log_path(folder, job_id, index, number).absolute())
    if file is None:
        what = "the join" if index == job.total_chunks else f"attempt {number} at the chunk of index {index}"
        raise Refused(problem(404, f"{what} has written nothing here", name="no-log"))
    start = 0 if tail is None else await asyncio.to_thread(_tail, file, tail)
    answer = FileAnswer(file, TEXT, start=start)
    answer.headers["Log-Start"] = str(start)
    return answer


def _tail(file: BinaryIO, length: int) -> int:
    """The place of the first line that begins within so many bytes from the end, or of the first character of these
    where one line is longer."""
    size = os.fstat(file.fileno()).st_size
    start = max(size - length, 0)
    if start == 0:
        return 0
    place = start - 1
    while place < size - 1 and (block := os.pread(file.fileno(), min(_BLOCK, size - 1 - place), place)):
        if (end := block.find(b"\n")) >= 0:
            return place + end + 1
        place += len(block)
    first = os.pread(file.fileno(), 4, start)
    return start + len(first) - len(first.lstrip(_CONTINUATION))
