"""Inside a service: who may have chunks run. Cloud Run asks that too, unless somebody has told it not to.

An ID token is checked as https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken says.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from typing import Final

CERTS: Final = "https://www.googleapis.com/oauth2/v1/certs"
ISSUERS: Final = ("accounts.google.com", "https://accounts.google.com")
KEPT: Final = 3600.0
"""Seconds that Google's certificates are kept; there are new ones every few days, ahead of their use."""
AGAIN: Final = 60.0
"""Seconds until they are fetched anew for a token that bears none of their signatures."""
SKEW: Final = 10
"""Seconds by which the clocks of Google and this machine may differ."""

logger = logging.getLogger("heliostat.gcp")


class Callers:
    """`audience`: whom tokens have to be made out for. `allowed`: e-mail addresses of service accounts and users."""

    def __init__(self, audience: str, allowed: Collection[str], *, certs_url: str = CERTS) -> None:
        self._audience = audience
        self._allowed = frozenset(allowed)
        self._certs_url = certs_url
        self._certs: Mapping[str, str] = {}
        self._fetched_clock = float("-inf")
        self._turn = asyncio.Lock()

    async def allow(self, token: str) -> bool:
        """Whether a token entitles to run chunks."""
        for oldest in (KEPT, AGAIN):
            certs = await self._current_certs(oldest)
            try:
                claims = self._claims(token, certs)
            except ValueError as error:
                logger.info("a token is not accepted: %s", error)
                continue
            if claims.get("email") in self._allowed and claims.get("email_verified"):
                return True
            logger.warning("%s is not among the callers in HELIOSTAT_CALLERS", claims.get("email"))
            return False
        return False

    def _claims(self, token: str, certs: Mapping[str, str]) -> Mapping[str, object]:
        from google.auth import exceptions, jwt

        try:
            claims: Mapping[str, object] = jwt.decode(
                token, certs=certs, audience=self._audience, clock_skew_in_seconds=SKEW
            )
        except exceptions.GoogleAuthError as error:
            raise ValueError(str(error)) from None
        if claims.get("iss") not in ISSUERS:
            raise ValueError(f"it was issued by {claims.get('iss')}")
        return claims

    async def _current_certs(self, oldest: float) -> Mapping[str, str]:
        async with self._turn:
            if time.monotonic() - self._fetched_clock > oldest:
                try:
                    self._certs = await asyncio.to_thread(self._fetch)
                    self._fetched_clock = time.monotonic()
                except Exception as error:
                    logger.warning("Google's certificates could not be fetched: %s", error)
            return self._certs

    def _fetch(self) -> Mapping[str, str]:
        import requests

        answer = requests.get(self._certs_url, timeout=10)
        answer.raise_for_status()
        certs: Mapping[str, str] = answer.json()
        return certs
