"""Those of Google's services that tell who somebody is: tokens of service accounts, and the metadata of a machine."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

EMAIL = "heliostat@studio.iam.gserviceaccount.com"


@functools.cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Accounts(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server_port}"
        self.tokens = 0
        """How many were given."""
        self.refuses = False
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


class Handler(http.server.BaseHTTPRequestHandler):
    server: Accounts

    def do_GET(self) -> None:
        """The metadata server: https://cloud.google.com/compute/docs/metadata/overview."""
        if self.path.partition("?")[0].endswith("/token"):
            self._give_token()
        elif "/service-accounts/" in self.path:
            self._send(200, {"email": EMAIL, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]})
        elif self.path == "/":
            self._send(200, {})
        else:
            self._send(404, {})

    def do_POST(self) -> None:
        """Tokens for assertions that are signed with a key."""
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refuses:
            self._send(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
        else:
            self._give_token()

    def _give_token(self) -> None:
        self.server.tokens += 1
        token = f"token-{self.server.tokens}"
        self._send(200, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    def _send(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
