"""Whether whoever asked is still there, which sending to them does not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Receive


async def has_left(receive: Receive) -> None:
    """Returns when the client of a request has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
