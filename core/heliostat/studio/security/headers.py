"""Headers on every answer, the content security policy (CSP) first of all.

Pages get a policy with a nonce, a random word that is another for each answer: a script in the page runs only if it
bears that word. It is put into the scripts of NiceGUI's page template where that is read, not into finished answers, so
that a script that came into a page by way of a value cannot have it.

What NiceGUI does not allow, and what that leaves open:

- `unsafe-eval`, because Vue compiles templates in the browser and NiceGUI's `run_javascript` evaluates text. So code
  of the page itself could turn text into a script; markup that comes into the page cannot, as scripts, handlers in
  attributes (`onerror=`) and `javascript:` addresses without the nonce do not run.
- `unsafe-inline` for styles, because Quasar and Vue set style attributes and NiceGUI adds style elements. Markup that
  comes into the page could be styled, and read nothing by that: pictures and fonts come from here or from the page
  itself.

Answers of the API get a policy that lets them load and run nothing.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

NONCE: Final = "heliostat.nonce"
"""The key of the nonce in the scope of a request."""

_PAGE: Final = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
_API: Final = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""What a browser shows of its own accord, a picture or a film, needs these."""

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class SecurityHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope[NONCE] = nonce = secrets.token_urlsafe(16)
        is_api = scope["path"].startswith("/api/")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_ALWAYS)
                headers["Content-Security-Policy"] = _API if is_api else _PAGE.format(nonce=nonce)
                if is_api:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)
