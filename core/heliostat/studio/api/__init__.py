"""The REST API under `/api/v1`: a module for each resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from heliostat.studio.api import about, chunks, control, events, jobs, logs, media, metrics, refusals, submission

if TYPE_CHECKING:
    from heliostat.studio.studio import Studio


def make_api(studio: Studio) -> FastAPI:
    """To be mounted at `heliostat.studio.api.openapi.PREFIX`."""
    api = FastAPI(openapi_url=None, redirect_slashes=False)
    api.state.studio = studio
    for module in (about, jobs, submission, control, chunks, logs, events, media, metrics):
        api.include_router(module.router)
    refusals.install(api)
    return api
