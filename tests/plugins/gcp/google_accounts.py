"""Those of Google's services that tell who somebody is: tokens of service accounts, and the metadata of a machine.

ID tokens are signed, and Google's certificates are there to check them by.
"""

from __future__ import annotations

import datetime as dt
import functools
import http.server
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from google.auth import jwt
from google.auth.crypt import RSASigner
from google.auth.exceptions import GoogleAuthError

TIMEFRAME = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp"
    " values in the JWT claim."
)
BORNE = 300.0
"""Seconds by which the times in an assertion may be wrong."""
EMAIL = "heliostat@studio.iam.gserviceaccount.com"


@functools.cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def google_key() -> rsa.RSAPrivateKey:
    """What Google signs ID tokens with."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def google_certificate() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federated-signon.system.gserviceaccount.com")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(google_key().public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(google_key(), hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


def id_token(
    audience: str,
    *,
    seconds: float = 3600.0,
    ahead: float = 0.0,
    key: rsa.RSAPrivateKey | None = None,
    **claims: object,
) -> str:
    """As Google makes it, whose clock may be ahead; `key` in place of Google's own makes a forgery."""
    now = int(time.time() + ahead)
    payload = {
        "iss": "https://accounts.google.com",
        "aud": audience,
        "email": EMAIL,
        "email_verified": True,
        "sub": "1",
        "iat": now + min(0, int(seconds) - 60),
        "exp": now + int(seconds),
        **claims,
    }
    pem = (key or google_key()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return jwt.encode(RSASigner.from_string(pem, "google"), payload).decode()


def verify_id_token(token: str) -> Mapping[str, Any]:
    """The claims. Raises ValueError for what Google has not signed, or what is too old."""
    try:
        claims: Mapping[str, Any] = jwt.decode(token, certs={"google": google_certificate()})
    except GoogleAuthError as error:
        raise ValueError(str(error)) from None
    return claims


class Accounts(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server_port}"
        self.tokens = 0
        """How many were given."""
        self.certificates = 0
        """How often they were fetched."""
        self.refuses = False
        self.id_tokens: list[str] = []
        """The audiences of those that were given."""
        self.lifetime = 3600.0
        """Seconds that ID tokens last."""
        self.ahead = 0.0
        """Seconds by which Google's clock is ahead of this machine's."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def key_file(self, folder: Path) -> Path:
        """What Google gives whoever makes a key for a service account."""
        pem = private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        key = {
            "type": "service_account",
            "project_id": "studio",
            "private_key_id": "1",
            "private_key": pem,
            "client_email": EMAIL,
            "token_uri": f"http://{self.address}/token",
        }
        path = folder / "key.json"
        path.write_text(json.dumps(key))
        return path

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Impersonation(http.server.ThreadingHTTPServer):
    """The IAM Credentials API, for whoever shows an access token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ImpersonationHandler)
        self.asked: list[str] = []
        root = f"http://127.0.0.1:{self.server_port}/v1/projects/-/serviceAccounts/{{}}"
        self.access_tokens, self.id_tokens = f"{root}:generateAccessToken", f"{root}:generateIdToken"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class ImpersonationHandler(http.server.BaseHTTPRequestHandler):
    server: Impersonation

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        email, _, verb = unquote(self.path).rpartition("/")[2].partition(":")
        self.server.asked.append(email)
        if not self.headers.get("Authorization", "").startswith("Bearer token-"):
            self.send_error(401)
            return
        if verb == "generateIdToken":
            answer = {"token": id_token(asked["audience"], email=email)}
        else:
            until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
            answer = {"accessToken": "token-for-it", "expireTime": until.strftime("%Y-%m-%dT%H:%M:%SZ")}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    server: Accounts

    def do_GET(self) -> None:
        """The metadata server: https://cloud.google.com/compute/docs/metadata/overview."""
        path, _, query = self.path.partition("?")
        if path.endswith("/token"):
            self._give_token()
        elif path.endswith("/identity"):
            self._send_text(self._make_id_token(parse_qs(query)["audience"][0]))
        elif path == "/certs":
            self.server.certificates += 1
            self._send(200, {"google": google_certificate()})
        elif "/service-accounts/" in self.path:
            self._send(200, {"email": EMAIL, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]})
        elif self.path == "/":
            self._send(200, {})
        else:
            self._send(404, {})

    def do_POST(self) -> None:
        """Tokens for assertions that are signed with a key."""
        body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if self.server.refuses:
            self._send(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
            return
        public = private_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        claims = jwt.decode(body["assertion"][0], certs=public)
        now = time.time() + self.server.ahead
        if claims["iat"] > now + BORNE or claims["exp"] < now - BORNE:
            self._send(400, {"error": "invalid_grant", "error_description": TIMEFRAME})
            return
        if "target_audience" in claims:
            self._send(200, {"id_token": self._make_id_token(claims["target_audience"])})
        else:
            self._give_token()

    def _make_id_token(self, audience: str) -> str:
        self.server.id_tokens.append(audience)
        return id_token(audience, seconds=self.server.lifetime, ahead=self.server.ahead)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.server.ahead)

    def _give_token(self) -> None:
        self.server.tokens += 1
        token = f"token-{self.server.tokens}"
        self._send(200, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    def _send(self, status: int, content: Any) -> None:
        self._send_body(status, json.dumps(content).encode(), "application/json")

    def _send_text(self, text: str) -> None:
        self._send_body(200, text.encode(), "text/html")

    def _send_body(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
