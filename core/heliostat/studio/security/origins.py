"""Refuses what pages of other sites ask for in a visitor's name.

Whatever a browser sends for a page, it says where that page is from: `Origin` with everything but plain reads, with
WebSockets in any case, and `Sec-Fetch-Site` (Fetch Metadata) with everything else. From another site it may only come
to a page here, by a link. Programs that are no browsers say neither and pass; they can send what they like anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from heliostat.studio.problems import problem, refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class OriginCheck:
    """Behind `HostCheck`: an origin is this one when its host is that of the request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not _is_own(scope):
            detail = "a page of another site asked for this; only Studio's own pages may"
            await refuse(scope, receive, send, problem(403, detail, name="cross-site"))
            return
        await self.app(scope, receive, send)


def is_link(scope: Scope) -> bool:
    """Whether somebody goes to a page: by a link, or by typing its address."""
    headers = Headers(scope=scope)
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and headers.get("sec-fetch-mode", "navigate") == "navigate"
        and headers.get("sec-fetch-dest", "document") == "document"
    )


def _is_own(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    origins = headers.getlist("origin")
    if any(not _is_same_host(origin, headers["host"]) for origin in origins):
        return False
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return True
    return not origins and is_link(scope)


def _is_same_host(origin: str, host: str) -> bool:
    """The scheme may differ: TLS may end at a proxy."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
