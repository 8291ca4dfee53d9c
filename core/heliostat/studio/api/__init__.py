"""The REST API under `/api/v1`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

if TYPE_CHECKING:
    from heliostat.studio.studio import Studio


def make_api(studio: Studio) -> FastAPI:
    """To be mounted at `/api/v1`."""
    api = FastAPI(title="Heliostat Studio", docs_url=None, redoc_url=None)

    @api.get("/version")
    async def version() -> dict[str, str]:
        from importlib.metadata import version

        return {"version": version("heliostat")}

    return api
