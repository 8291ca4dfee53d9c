"""Signatures of webhook requests, in the form that Stripe's webhooks have.

    Heliostat-Signature: t=1750000000,v1=5257a8…

`t` is when the request was signed, in seconds since the epoch; `v1` the hexadecimal HMAC-SHA256, with the secret as the
key, of the bytes `t` + "." + body. A receiver takes the body as it came, before any JSON parser.
"""

from __future__ import annotations

import hashlib
import hmac
import time

SIGNATURE_HEADER = "Heliostat-Signature"


def sign(secret: str, body: bytes, timestamp: int) -> str:
    """The value of the header."""
    digest = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def verify(secret: str, body: bytes, header: str, *, tolerance: float = 300.0, now: float | None = None) -> bool:
    """Whether a request came from someone who knows the secret and was signed at most `tolerance` seconds ago."""
    written = header.partition(",")[0].removeprefix("t=")
    if not (written.isascii() and written.isdigit() and len(written) < 20):
        return False
    timestamp = int(written)
    fresh = abs((time.time() if now is None else now) - timestamp) <= tolerance
    return fresh and hmac.compare_digest(sign(secret, body, timestamp).encode(), header.encode(errors="replace"))
