"""What this Studio is, and what is installed."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from heliostat import __version__, list_plugins
from heliostat.studio.api.openapi import answer, answers, describe
from heliostat.studio.api.records import PluginList, Version

router = APIRouter(tags=["about"])


@router.get("/version", summary="The version", **answers(Version))
async def version() -> Response:
    return answer(Version(version=__version__))


@router.get("/plugins", summary="Plugins, what they offer and its options", **answers(PluginList))
async def plugins() -> Response:
    return answer(PluginList(plugins=list_plugins()))


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    return JSONResponse(describe(request.app))
