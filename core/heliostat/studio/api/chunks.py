"""The chunks of a job and their attempts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from heliostat import AttemptState, ChunkState
from heliostat.studio.api.openapi import answer, answers
from heliostat.studio.api.parameters import InStudio, JobId, LargeLimit, Limit, Offset
from heliostat.studio.api.records import AttemptPage, ChunkPage, ChunkView

router = APIRouter(tags=["chunks"])


@router.get("/jobs/{job_id}/chunks", summary="List chunks by their index", **answers(ChunkPage, 404, 422, 503))
async def list_chunks(
    studio: InStudio,
    job_id: JobId,
    state: Annotated[ChunkState | None, Query(description="Only chunks in this state.")] = None,
    limit: LargeLimit = 1_000,
    offset: Offset = 0,
) -> Response:
    spec = (await studio.manager.get(job_id)).spec
    rows = await studio.repository.chunks(job_id, state=state, limit=limit, offset=offset)
    counts = await studio.repository.count(job_id)
    chunks = [
        ChunkView(
            index=row.index,
            id=row.id,
            state=row.state,
            attempts=row.attempts,
            position=row.position,
            start_frame=chunk.start_frame,
            frame_count=chunk.frame_count,
            step=chunk.step,
            output_file=chunk.output_file,
        )
        for row in rows
        for chunk in spec.chunks[row.index : row.index + 1]
    ]
    total = sum(counts.values()) if state is None else counts[state]
    return answer(ChunkPage(chunks=chunks, total=total, limit=limit, offset=offset))


@router.get(
    "/jobs/{job_id}/attempts", summary="List attempts by chunk and number", **answers(AttemptPage, 404, 422, 503)
)
async def list_attempts(
    studio: InStudio,
    job_id: JobId,
    chunk: Annotated[int | None, Query(ge=0, lt=2**31, description="Only those at the chunk of this index.")] = None,
    state: Annotated[AttemptState | None, Query(description="Only attempts in this state.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    found = await studio.repository.attempts(job_id, index=chunk, state=state, limit=limit + 1, offset=offset)
    more = len(found) > limit
    return answer(AttemptPage(attempts=list(found[:limit]), more=more, limit=limit, offset=offset))
