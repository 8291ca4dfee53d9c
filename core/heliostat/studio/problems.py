"""Errors as problem documents (RFC 9457), the one form in which anything is refused."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

MEDIA_TYPE: Final = "application/problem+json"


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was refused."""

    type: str
    """`urn:heliostat:problem:` and a name that stays the same; `about:blank` where the status says it all."""
    title: str
    """The kind of problem, the same for all of its type."""
    status: int
    """The HTTP status."""
    detail: str
    """One sentence on this very case."""
    path: str | None = None
    """The place in what was sent, such as `$.job.chunks[3].frameCount` or `limit`."""
    url: str | None = None
    """Where what was asked for lies, when it does not lie here."""


class Refused(Exception):
    """Raised anywhere in a request to refuse it."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = dict(headers or {})


def problem(status: int, detail: str, *, name: str | None = None, title: str | None = None, **more: Any) -> Problem:
    """`name`: what is to stand in the type."""
    return Problem(
        type="about:blank" if name is None else f"urn:heliostat:problem:{name}",
        title=title or HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        **more,
    )


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


async def refuse(
    scope: Scope, receive: Receive, send: Send, problem: Problem, headers: Mapping[str, str] | None = None
) -> None:
    """Answer a request, or the opening of a WebSocket, before anything else has been answered."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": problem.title})
    else:
        await problem_response(problem, headers)(scope, receive, send)
