"""Refuses bodies that are too large, before they are read where their length is said, and else as soon as they are."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

from heliostat.studio.problems import problem, refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALL: Final = 1 << 20
"""Bytes of any body but a submission's. NiceGUI's own messages have to fit."""
SUBMISSIONS: Final = "/api/v1/jobs"
"""Where a submission goes, from a page too."""


class BodyLimit:
    def __init__(self, app: ASGIApp, largest: int) -> None:
        """`largest`: bytes of a submission."""
        self.app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self._largest if _is_submission(scope) else SMALL
        length = Headers(scope=scope).get("content-length", "0")
        body = _Body(receive, send, limit)
        if length.isascii() and length.isdecimal() and int(length) > limit:
            body.too_large = True
        elif not _is_submission(scope):
            await body.read_ahead()
        if not body.too_large:
            try:
                await self.app(scope, body.receive, body.send)
            except Exception:
                if not body.too_large or body.answered:
                    raise
        if body.too_large and not body.answered:
            refused = problem(413, f"the body is larger than {limit:,} bytes, which is the limit", name="too-large")
            await refuse(scope, receive, send, refused, {"Connection": "close"})


class _Body:
    """To the application, a body that is too large looks like one whose sender has gone away."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._left = limit
        self._ahead: deque[Message] = deque()
        self.too_large = False
        self.answered = False

    async def read_ahead(self) -> None:
        """All of it, for an application that may not look at it at all."""
        message = await self._next()
        self._ahead.append(message)
        while message.get("more_body"):
            message = await self._next()
            self._ahead.append(message)

    async def receive(self) -> Message:
        return self._ahead.popleft() if self._ahead else await self._next()

    async def _next(self) -> Message:
        if self.too_large:
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.too_large = True
                return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if self.too_large and not self.answered:
            return  # whatever is made of half a body
        self.answered = True
        await self._send(message)


def _is_submission(scope: Scope) -> bool:
    return (scope["method"], scope["path"]) == ("POST", SUBMISSIONS)
