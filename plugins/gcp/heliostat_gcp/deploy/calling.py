"""The service called as a coordinator calls it, with a real ID token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

from heliostat.errors import Misconfigured, Throttled, WorkerLost
from heliostat.worker import WorkerClient, WorkerInfo
from heliostat_gcp.clock import WrongClock
from heliostat_gcp.deploy.findings import Failed
from heliostat_gcp.id_tokens import IdTokens
from heliostat_gcp.services import ADVICE

PATIENCE: Final = 120.0
"""Seconds that an instance gets to start; large images take long at first."""
WAIT: Final = 2.0
"""Seconds between two tries."""


class Caller:
    """Whoever the ID tokens say that it is."""

    def __init__(self, audience: str, impersonate: str | None, coordinator: str) -> None:
        self._audience = audience
        self._impersonate = impersonate
        self._coordinator = coordinator
        self._headers: Mapping[str, str] = {}

    def headers(self) -> Mapping[str, str]:
        """Raises AttemptErrors, and Failed when these credentials can make no ID tokens."""
        if not self._headers:
            try:
                self._headers = asyncio.run(IdTokens(self._audience, self._impersonate).headers())
            except Misconfigured as error:
                if self._impersonate is not None or isinstance(error, WrongClock):
                    raise
                reason = str(error).partition(";")[0]
                raise Failed(
                    f"{reason}; use those of a service account, or add --impersonate {self._coordinator} here, and"
                    f" --set impersonate={self._coordinator} to `heliostat render`"
                ) from error
        return self._headers

    def email(self) -> str:
        """As Cloud Run and the worker will see it. Raises as `headers` does."""
        from google.auth import jwt

        token = self.headers()["Authorization"].partition(" ")[2]
        claims: Mapping[str, object] = jwt.decode(token, verify=False)
        return str(claims.get("email"))


def ask_worker(url: str, caller: Caller) -> str:
    """Have the worker say its version. Raises AttemptErrors and Failed."""
    info = asyncio.run(_ask(url, caller.headers()))
    here = version("heliostat")
    if here != info.version:
        raise Failed(
            f"the worker has Heliostat {info.version}, and this machine {here}; install that version here, or build the"
            " image from this one and deploy it"
        )
    return f"answers, with Heliostat {info.version}"


async def _ask(url: str, headers: Mapping[str, str]) -> WorkerInfo:
    async def authorise() -> Mapping[str, str]:
        return headers

    until = time.monotonic() + PATIENCE
    async with WorkerClient(url, authorise, advice=ADVICE) as client:
        while True:
            try:
                return await client.info()
            except (Throttled, WorkerLost) as error:
                if time.monotonic() > until:
                    raise Failed(
                        f"{str(error).rstrip('.')}; see the service's log, mend the image and deploy it"
                    ) from error
            await asyncio.sleep(WAIT)
