"""Fetches a document over HTTP."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

from heliostat.errors import SpecError

PATIENCE = 30.0
"""Seconds that a server may stay silent."""


def fetch(address: str, shown: str) -> tuple[bytes, str]:
    """What lies at an http or https address, and its media type without the part before the slash.

    Raises SpecError, with `shown` for the address, when the server cannot be reached, refuses, or stays silent."""
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "heliostat"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read(), answer.headers.get_content_subtype()
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"the server answers {error.code} {error.reason}".rstrip()
    except urllib.error.URLError as error:
        reason = _reason(error.reason)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = _reason(error)
    raise SpecError(f"{shown} cannot be read ({reason}); check the address")


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"the server has been silent for {PATIENCE:.0f} seconds"
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
