"""What a check of `heliostat gcp doctor` comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from heliostat.errors import HeliostatError
from heliostat_gcp.deploy.google import is_denied, refusals


class Finding(Struct, frozen=True):
    check: str
    verdict: Literal["ok", "failed", "unknown"]
    detail: str
    """What was found; where it failed, also what to do."""


class Failed(Exception):
    """What is wrong, and what to do."""


class Unknown(Exception):
    """Why it cannot be said."""


def check(name: str, look: Callable[[], str], *, privileged: bool = False) -> Finding:
    """`privileged`: only a deployer may look, so that it is no failure when somebody else may not."""
    try:
        with refusals(name, "coordinator"):
            return Finding(name, "ok", look())
    except Unknown as error:
        return Finding(name, "unknown", str(error))
    except (Failed, HeliostatError) as error:
        if privileged and is_denied(error.__cause__):
            return Finding(name, "unknown", "the caller may not look, which only a deployer need")
        return Finding(name, "failed", str(error))
