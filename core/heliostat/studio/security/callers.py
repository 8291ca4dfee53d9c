"""Who a request comes from: this machine, or another one."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

if TYPE_CHECKING:
    from starlette.types import Scope

_FORWARDED: Final = ("forwarded", "via", "x-real-ip")


def is_remote(scope: Scope) -> bool:
    """Whether somebody on another machine asks, or may: a proxy on this one says that it passes a request on. A tunnel
    (`ssh -L`) does not say so; who may open one may run commands here anyway."""
    if any(name in _FORWARDED or name.startswith("x-forwarded-") for name in Headers(scope=scope)):
        return True
    client = scope.get("client")
    try:
        address = ipaddress.ip_address(client[0] if client else "")
    except ValueError:
        return True
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return not (mapped or address).is_loopback


def refusal_to_submit(scope: Scope, allow_submit: bool) -> str | None:
    """Why the caller may not submit jobs, in one sentence; None when it may."""
    if allow_submit or not is_remote(scope):
        return None
    return "jobs run commands, so they are taken from this machine alone; start Studio with --allow-submit to change it"
