"""Parameters that several routes have."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query
from starlette.requests import Request

from heliostat.studio.studio import Studio


def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


InStudio = Annotated[Studio, Depends(_studio)]
JobId = Annotated[str, Path(max_length=128, description="The job's id.")]
Index = Annotated[int, Path(ge=0, lt=2**31, description="The chunk's index, from 0.")]
Number = Annotated[int, Path(ge=1, lt=2**31, description="The attempt's number, from 1.")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="The most to answer with.")]
LargeLimit = Annotated[int, Query(ge=1, le=10_000, description="The most to answer with.")]
Offset = Annotated[int, Query(ge=0, lt=2**31, description="How many to leave out at the beginning.")]
