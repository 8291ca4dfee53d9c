"""Asks for a token: as `Authorization: Bearer`, in a cookie, or once as `?token=…` in a link, which sets the cookie.

Cookies are the same for all ports of a host, so the name has the port in it; a program at another port of this host
that the visitor's browser talks to is sent it too.
"""

from __future__ import annotations

import hmac
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response

from heliostat.studio.problems import problem, refuse
from heliostat.studio.security.origins import is_link

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PARAMETER: Final = "token"
COOKIE_AGE: Final = 30 * 24 * 3600
"""Seconds that a browser keeps the cookie."""

_ASK: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Heliostat Studio</title>
<meta name="viewport" content="width=device-width"><body style="font: 1rem system-ui; margin: 3rem">
<h1>Heliostat Studio</h1><p>Open the link that <code>heliostat studio</code> printed when it began, or enter its token:
<form action="/" method="get"><input name="token" type="password" aria-label="token" required autofocus>
<button>Enter</button></form>"""
_GO_ON: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Heliostat Studio</title>
<meta http-equiv="refresh" content="0; url={url}"><a href="{url}">Go on</a>"""


class TokenCheck:
    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app = app
        self._token = token.encode()
        self._cookie = f"heliostat-studio-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        link = is_link(scope)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == PARAMETER]
        if link and given and self._is_right(given[-1]):
            rest = urlencode([(name, value) for name, value in query if name != PARAMETER])
            await self._welcome(scope, rest)(scope, receive, send)
        elif self._is_authorised(headers):
            await self.app(scope, receive, send)
        elif link and headers.get("sec-fetch-site") == "cross-site":
            # By a link on another site; the browser then keeps back a cookie that is SameSite=Strict. It sends it with
            # what this page asks for.
            await _go_on(scope, scope["query_string"].decode("latin-1"))(scope, receive, send)
        elif link and "text/html" in headers.get("accept", ""):
            await HTMLResponse(_ASK, 401, {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"})(
                scope, receive, send
            )
        else:
            refused = problem(401, "no valid token was sent; send it as Authorization: Bearer TOKEN", name="no-token")
            await refuse(scope, receive, send, refused, {"WWW-Authenticate": "Bearer"})

    def _is_authorised(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_right(token.strip()):
            return True
        cookies = [cookie_parser(text).get(self._cookie) for text in headers.getlist("cookie")]
        return any(cookie is not None and self._is_right(cookie) for cookie in cookies)

    def _is_right(self, token: str) -> bool:
        """In a time that tells nothing of where it differs."""
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self._token)

    def _welcome(self, scope: Scope, query: str) -> Response:
        headers = Headers(scope=scope)
        if headers.get("sec-fetch-site") == "cross-site":
            response = _go_on(scope, query)
        else:
            response = RedirectResponse(_address(scope, query), 303, {"Cache-Control": "no-store"})
        response.set_cookie(
            self._cookie,
            self._token.decode(),
            max_age=COOKIE_AGE,
            httponly=True,
            samesite="strict",
            secure=headers.get("x-forwarded-proto") == "https",
        )
        return response


def _address(scope: Scope, query: str) -> str:
    # Never "//host": that would lead away from here.
    path = "/" + quote(scope["path"].lstrip("/\\"), safe="/")
    return f"{path}?{query}" if query else path


def _go_on(scope: Scope, query: str) -> Response:
    page = _GO_ON.format(url=escape(_address(scope, query)))
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})
