"""Refuses requests under a name that is not this server's.

A page of another site can point its own name to 127.0.0.1 and then read, as of its own origin, whatever is served there
(DNS rebinding). The browser still says the name in `Host`.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from heliostat.studio.problems import problem, refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class HostCheck:
    """Ports are not looked at: they may differ behind a tunnel, and no rebinding can choose another than its own."""

    def __init__(self, app: ASGIApp, bound_to: str, allowed: Iterable[str] = ()) -> None:
        """`allowed`: further names."""
        self.app = app
        names = {bound_to, *allowed}
        self._any_address = False
        address = _address(bound_to)
        if address is not None and address.is_unspecified:
            # Any address of this machine is one that it was bound to, and no address can be rebound.
            self._any_address = True
            names |= {"localhost", socket.gethostname(), socket.getfqdn()}
        elif (address is not None and address.is_loopback) or bound_to.lower() == "localhost":
            names |= {"localhost", "127.0.0.1", "::1"}
        self._names = {_plain(name) for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            hosts = Headers(scope=scope).getlist("host")
            name = host_name(hosts[0]) if len(hosts) == 1 else None
            if name is None or not self._is_ours(name):
                detail = "this server is not to be reached under that name; start it with --allow-host NAME"
                await refuse(scope, receive, send, problem(421, detail, name="wrong-host"))
                return
        await self.app(scope, receive, send)

    def _is_ours(self, name: str) -> bool:
        return _plain(name) in self._names or (self._any_address and _address(name) is not None)


def host_name(host: str) -> str | None:
    """The name or address in a `Host`, without its port; None when it is malformed."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, ""
    if (port and not (port.isascii() and port.isdecimal())) or not name:
        return None
    if name.startswith("["):
        return name[1:-1] if name.endswith("]") and _address(name[1:-1]) is not None else None
    return None if ":" in name else name


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _plain(name: str) -> str:
    """One spelling for each name."""
    address = _address(name)
    return name.lower().removesuffix(".") if address is None else address.compressed
