"""Whether whoever asked is still there, which sending to them does not tell; and how to leave them in mid-answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_CUT: Final = "heliostat.cut"
"""The extension of a request's scope that ends its connection at once."""


async def has_left(receive: Receive) -> None:
    """Returns when the client of a request has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def cut(scope: Scope) -> None:
    """Close the connection of a request now, with whatever the client has not yet accepted. A client that was promised
    more takes nothing for the whole. Wait for `has_left` then: a server complains of an answer that is not ended."""
    scope["extensions"][_CUT]()


class Connection(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """uvicorn's own, whose requests can be cut."""

    app: ASGIApp

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        app = self.app

        async def with_extension(scope: Scope, receive: Receive, send: Send) -> None:
            extension = {_CUT: cast(asyncio.Transport, transport).abort}
            await app({**scope, "extensions": {**scope.get("extensions", {}), **extension}}, receive, send)

        self.app = with_extension
