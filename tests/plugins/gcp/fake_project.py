"""A project of Google's over HTTP: which APIs it has switched on (Service Usage), and its service accounts (IAM).

What is answered, and how things fail, follows the REST references of both. Whoever asks has to show a token; what they
may is told by `denied`.
"""

from __future__ import annotations

import base64
import http.server
import json
import re
import secrets
import threading
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from google_accounts import EMAIL, id_token
from msgspec import Struct


class Refusal(Exception):
    def __init__(self, status: int, kind: str, message: str, reason: str = "", **metadata: str) -> None:
        super().__init__(message)
        detail = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "googleapis.com",
            "metadata": metadata,
        }
        self.status = status
        self.body = {
            "error": {"code": status, "status": kind, "message": message, "details": [detail] if reason else []}
        }


class Account(Struct):
    resource: dict[str, Any]
    policy: dict[str, Any]
    unknown: int = 0
    """How often it will still be taken for one that is not there, by services that hear of it later."""


class FakeProject(http.server.ThreadingHTTPServer):
    id = "studio"
    number = "123456789012"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.enabled = {
            *("iam.googleapis.com", "iamcredentials.googleapis.com", "run.googleapis.com"),
            *("serviceusage.googleapis.com", "storage.googleapis.com"),
        }
        self.accounts: dict[str, Account] = {}
        self.denied: set[str] = set()
        """Permissions that the caller lacks."""
        self.used: set[str] = set()
        """Permissions that were needed."""
        self.unavailable = 0
        """How many of the next requests are answered with 503."""
        self.slow_to_settle = 0
        """How often new accounts will be taken for ones that are not there."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def knows(self, email: str) -> bool:
        """Whether another service of Google's has heard of an account; those of other projects are all there."""
        if not email.endswith(f"@{self.id}.iam.gserviceaccount.com"):
            return True
        account = self.accounts.get(email)
        if account is None or account.unknown:
            if account is not None:
                account.unknown -= 1
            return False
        return True

    def need(self, permission: str) -> None:
        self.used.add(permission)
        if permission in self.denied:
            message = f"Permission '{permission}' denied on resource (or it may not exist)."
            raise Refusal(403, "PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED", permission=permission)

    def need_api(self, api: str) -> None:
        if api not in self.enabled:
            message = (
                f"The API {api} has not been used in project {self.number} before or it is disabled. Enable it by"
                " visiting the console then retry."
            )
            raise Refusal(403, "PERMISSION_DENIED", message, "SERVICE_DISABLED", service=api)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeProject

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if not self.headers.get("Authorization", "").startswith("Bearer "):
                raise Refusal(401, "UNAUTHENTICATED", "Request is missing required authentication credential.")
            if self.server.unavailable:
                self.server.unavailable -= 1
                raise Refusal(503, "UNAVAILABLE", "The service is currently unavailable.")
            status, told = 200, self._do(json.loads(body) if body else {})
        except Refusal as refusal:
            status, told = refusal.status, refusal.body
        self.send_response(status)
        content = json.dumps(told).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _do(self, body: Any) -> Any:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        if (found := re.fullmatch(r"/v1/projects/-/serviceAccounts/(.+):generateIdToken", path)) is not None:
            return self._id_token(found[1], body)
        match = re.fullmatch(r"/v1/projects/([^/]+)/(services|serviceAccounts)(?:/([^:]+))?(?::(\w+))?", path)
        if match is None or match[1] != self.server.id:
            raise Refusal(403, "PERMISSION_DENIED", f"Project '{path.split('/')[3]}' not found or permission denied.")
        _, collection, name, verb = match.groups()
        if collection == "services":
            return self._services(parse_qs(parts.query)["names"])
        self.server.need_api("iam.googleapis.com")
        if name is None:
            return self._create(body)
        if name not in self.server.accounts:
            self.server.need("iam.serviceAccounts.get")
            raise Refusal(404, "NOT_FOUND", f"Unknown service account: {name}")
        return getattr(self, f"_{verb or self.command.lower()}")(name, body)

    def log_message(self, *_: object) -> None:
        pass

    def _id_token(self, email: str, body: Any) -> Any:
        """For whoever may create tokens for the account; whoever asks is `EMAIL`."""
        policy = self.server.accounts[email].policy
        creators = {
            member
            for binding in policy.get("bindings", [])
            if binding["role"] == "roles/iam.serviceAccountTokenCreator"
            for member in binding["members"]
        }
        if f"serviceAccount:{EMAIL}" not in creators:
            message = "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist)."
            raise Refusal(403, "PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED")
        assert body["includeEmail"]
        return {"token": id_token(body["audience"], email=email)}

    # --- Service Usage -----------------------------------------------------------------------------------------------

    def _services(self, names: list[str]) -> Any:
        self.server.need_api("serviceusage.googleapis.com")
        self.server.need("serviceusage.services.get")
        parent = f"projects/{self.server.number}"
        return {
            "services": [
                {
                    "name": f"{parent}/services/{name.rpartition('/')[2]}",
                    "parent": parent,
                    "state": "ENABLED" if name.rpartition("/")[2] in self.server.enabled else "DISABLED",
                }
                for name in names
            ]
        }

    # --- IAM ---------------------------------------------------------------------------------------------------------

    def _create(self, body: Any) -> Any:
        self.server.need("iam.serviceAccounts.create")
        if not re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", body["accountId"]):
            raise Refusal(400, "INVALID_ARGUMENT", f"Account ID {body['accountId']} does not have correct format.")
        email = f"{body['accountId']}@{self.server.id}.iam.gserviceaccount.com"
        if email in self.server.accounts:
            message = f"Service account {body['accountId']} already exists within project projects/{self.server.id}."
            raise Refusal(409, "ALREADY_EXISTS", message)
        resource = {
            **body["serviceAccount"],
            "name": f"projects/{self.server.id}/serviceAccounts/{email}",
            "email": email,
            "uniqueId": str(secrets.randbits(60)),
            "etag": _etag(),
        }
        self.server.accounts[email] = Account(resource, {"etag": _etag()}, self.server.slow_to_settle)
        return resource

    def _get(self, email: str, _: Any) -> Any:
        self.server.need("iam.serviceAccounts.get")
        return self.server.accounts[email].resource

    def _patch(self, email: str, body: Any) -> Any:
        self.server.need("iam.serviceAccounts.update")
        resource = self.server.accounts[email].resource
        for field in body["updateMask"].split(","):
            resource[field] = body["serviceAccount"][field]
        return resource

    def _delete(self, email: str, _: Any) -> Any:
        self.server.need("iam.serviceAccounts.delete")
        del self.server.accounts[email]
        return {}

    def _enable(self, email: str, _: Any) -> Any:
        self.server.need("iam.serviceAccounts.enable")
        self.server.accounts[email].resource.pop("disabled", None)
        return {}

    def _getIamPolicy(self, email: str, _: Any) -> Any:  # noqa: N802
        self.server.need("iam.serviceAccounts.getIamPolicy")
        if not self.server.knows(email):
            raise Refusal(404, "NOT_FOUND", f"Service account {email} does not exist.")
        return self.server.accounts[email].policy

    def _setIamPolicy(self, email: str, body: Any) -> Any:  # noqa: N802
        self.server.need("iam.serviceAccounts.setIamPolicy")
        account = self.server.accounts[email]
        if body["policy"].get("etag") not in (None, account.policy["etag"]):
            raise Refusal(409, "ABORTED", "There were concurrent policy changes. Please retry the whole operation.")
        account.policy = {**body["policy"], "etag": _etag()}
        return account.policy


def _etag() -> str:
    return base64.b64encode(secrets.token_bytes(8)).decode()
