"""ID tokens of whoever runs jobs, for one audience: fetched when the first is needed, and anew before they expire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from heliostat.errors import Misconfigured
from heliostat_gcp.clock import BORNE, SET_IT, WrongClock, how_wrong, is_about_time, seconds_behind
from heliostat_gcp.errors import of_call

EARLY: Final = 300.0
"""Seconds before its end that a token is replaced."""
PLATFORM: Final = "https://www.googleapis.com/auth/cloud-platform"


class IdTokens:
    """Without `impersonate`, the credentials have to be those of a service account, which alone can have tokens made
    for an audience; with it, any that may make tokens for that account."""

    def __init__(self, audience: str, impersonate: str | None = None) -> None:
        self._audience = audience
        self._impersonate = impersonate
        self._credentials: Any = None
        self._behind = 0.0
        """Seconds by which this machine's clock was behind Google's when a token was last asked for."""
        self._turn = asyncio.Lock()

    async def headers(self) -> Mapping[str, str]:
        """What authorises a request: once for Cloud Run, which takes off the signature before the container sees it,
        and once for the worker, which checks it again. Raises AttemptErrors.

        https://cloud.google.com/run/docs/authenticating/service-to-service
        """
        async with self._turn:
            if self._seconds_left() < EARLY:
                try:
                    await asyncio.to_thread(self._refresh)
                except Exception as error:
                    if self._seconds_left() <= 0:  # else there is time to try again
                        raise self._explained(error) from error
            bearer = f"Bearer {self._credentials.token}"
        return {"Authorization": bearer, "X-Serverless-Authorization": bearer}

    def advice(self, headers: Mapping[str, str]) -> str | None:
        """What to do about a refusal with these headers, where the clock is why: by Google's, the token has expired."""
        behind = seconds_behind(headers.get("Date"))
        if behind < BORNE or self._credentials is None or self._seconds_left(behind) > 0:
            return None
        return f"{how_wrong(behind)}, so that tokens are taken for good which have expired; {SET_IT}"

    def _seconds_left(self, behind: float | None = None) -> float:
        """By Google's clock, whose time tokens bear."""
        if self._credentials is None or not self._credentials.token:
            return 0.0
        expiry: datetime = self._credentials.expiry  # in UTC, without saying so
        return expiry.replace(tzinfo=UTC).timestamp() - time.time() - (self._behind if behind is None else behind)

    def _refresh(self) -> None:
        import requests
        from google.auth.transport.requests import Request

        def note_time(answer: requests.Response, **_: object) -> None:
            self._behind = seconds_behind(answer.headers.get("Date"))

        with requests.Session() as session:
            session.hooks["response"].append(note_time)
            request = Request(session)
            if self._credentials is None:
                self._credentials = self._find(request)
            self._credentials.refresh(request)

    def _find(self, request: Any) -> Any:
        from google.oauth2 import id_token

        if self._impersonate is None:
            return id_token.fetch_id_token_credentials(self._audience, request=request)
        import google.auth
        from google.auth import impersonated_credentials

        source, _ = google.auth.default(scopes=[PLATFORM])
        target = impersonated_credentials.Credentials(
            source_credentials=source, target_principal=self._impersonate, target_scopes=[PLATFORM]
        )
        return impersonated_credentials.IDTokenCredentials(target, target_audience=self._audience, include_email=True)

    def _explained(self, error: Exception) -> Exception:
        from google.auth.exceptions import DefaultCredentialsError

        if is_about_time(error) and abs(self._behind) > BORNE:
            return WrongClock(f"Google makes no ID token, since {how_wrong(self._behind)}; {SET_IT}")
        if isinstance(error, DefaultCredentialsError) and self._impersonate is None:
            return Misconfigured(
                f"these credentials cannot make ID tokens ({' '.join(str(error).split())[:200]}); set"
                " GOOGLE_APPLICATION_CREDENTIALS to a service account's, or give impersonate=ACCOUNT"
            )
        return of_call(error, "an ID token")
