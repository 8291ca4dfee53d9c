"""What a request has to pass before anything of Studio sees it. All of it is plain ASGI, so that streams and WebSockets
pass unhindered.

From the outside: `headers` on every answer · `hosts`, against DNS rebinding · `origins`, against other sites' pages ·
`token` · `bodies`, against those that are too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat.studio.security.bodies import BodyLimit
from heliostat.studio.security.headers import SecurityHeaders
from heliostat.studio.security.hosts import HostCheck
from heliostat.studio.security.origins import OriginCheck
from heliostat.studio.security.token import TokenCheck

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from heliostat.studio.settings import StudioSettings


def secure(app: ASGIApp, settings: StudioSettings, port: int) -> ASGIApp:
    """`port`: where it is served."""
    app = BodyLimit(app, settings.max_upload)
    if settings.token is not None:
        app = TokenCheck(app, settings.token, port)
    app = OriginCheck(app)
    app = HostCheck(app, settings.host, settings.allow_hosts)
    return SecurityHeaders(app)
