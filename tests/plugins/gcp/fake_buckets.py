"""Buckets as Google keeps them, in front of fake-gcs-server, which keeps neither policies nor most of a bucket's
settings, nor whose it is. Objects are those of `strict_gcs`."""

from __future__ import annotations

import base64
import datetime as dt
import http.client
import json
import re
import secrets
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import strict_gcs
from fake_project import FakeProject, Refusal
from msgspec import Struct
from strict_gcs import Answer, Request, StrictGcs

WEEK = 604_800
PERMISSIONS = {
    "batch": "storage.objects.delete",
    "begin": "storage.objects.create",
    "get": "storage.objects.get",
    "insert": "storage.objects.create",
    "list": "storage.objects.list",
    "media": "storage.objects.get",
}
"""By operation on objects."""


class Kept(Struct):
    resource: dict[str, Any]
    policy: dict[str, Any]


class FakeBuckets(StrictGcs):
    """`project` is whose buckets these are, but for those of `strangers`: names and the numbers of their projects."""

    def __init__(self, fake_gcs: str, project: FakeProject) -> None:
        super().__init__(fake_gcs)
        self.RequestHandlerClass = Handler
        self.project = project
        self.kept: dict[str, Kept] = {}
        self.strangers: set[str] = set()
        """Buckets of other projects, which the caller may not look at."""
        self.before_policy: Callable[[str], None] = lambda name: None
        """Called with a bucket's name before its policy is written."""
        self.lock = threading.RLock()

    def behave(self) -> None:
        super().behave()
        self.intervene = self._check

    def pass_days(self, name: str, days: float) -> None:
        """Delete what the bucket's rules delete in so many days: all conditions of one of them hold for it,
        https://cloud.google.com/storage/docs/lifecycle."""
        now = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        connection = http.client.HTTPConnection(self.upstream)

        def ask(method: str, path: str) -> bytes:
            connection.request(method, f"/storage/v1/b/{name}/o{path}")
            return connection.getresponse().read()

        def is_old(told: str | None, days: int) -> bool:
            return told is not None and dt.datetime.fromisoformat(told) + dt.timedelta(days=days) <= now

        def holds(condition: dict[str, Any], found: dict[str, Any]) -> bool:
            tests = {
                "age": lambda days: is_old(found["timeCreated"], days),
                "daysSinceCustomTime": lambda days: is_old(found.get("customTime"), days),
                "matchesPrefix": lambda prefixes: found["name"].startswith(tuple(prefixes)),
            }
            return all(tests[name](value) for name, value in condition.items())

        rules = self.kept[name].resource["lifecycle"]["rule"]
        for found in json.loads(ask("GET", "")).get("items", []):
            if any(rule["action"]["type"] == "Delete" and holds(rule["condition"], found) for rule in rules):
                ask("DELETE", f"/{quote(found['name'], safe='')}")
        connection.close()

    def _check(self, request: Request) -> Answer | None:
        if (permission := PERMISSIONS.get(request.operation)) is None:
            return None
        try:
            self.project.need(permission)
        except Refusal as refusal:
            return strict_gcs.error(403, "forbidden", str(refusal))
        return None


class Handler(strict_gcs.Handler):
    server: FakeBuckets

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        found = re.fullmatch(r"/storage/v1/b(?:/([^/]+))?(/iam)?", parts.path)
        if found is None:
            super()._serve()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        name, verb = unquote(found[1] or ""), f"_bucket_{self.command.lower()}{'_policy' if found[2] else ''}"
        try:
            with self.server.lock:
                told = getattr(self, verb)(name, query, json.loads(body) if body else {})
            answer = Answer(204) if told is None else Answer(200, json.dumps(told).encode(), _JSON)
        except Refusal as refusal:
            answer = strict_gcs.error(refusal.status, _REASONS[refusal.status], str(refusal))
        self._send(answer, None)

    def do_PATCH(self) -> None:  # noqa: N802
        self._serve()

    def _bucket_post(self, _: str, query: dict[str, str], body: Any) -> Any:
        project, name = self.server.project, body["name"]
        project.need("storage.buckets.create")
        if query["project"] != project.id:
            raise Refusal(400, "INVALID_ARGUMENT", "Unknown project id: " + query["project"])
        if name in self.server.strangers:
            raise Refusal(409, "ABORTED", "The requested bucket name is not available. The bucket namespace is shared.")
        if name in self.server.kept:
            raise Refusal(409, "ABORTED", "Your previous request to create the named bucket succeeded and you own it.")
        self._ask("POST", "/storage/v1/b", query, json.dumps({"name": name}).encode(), _JSON)
        editors = {"role": "roles/storage.legacyBucketOwner", "members": [f"projectEditor:{project.id}"]}
        self.server.kept[name] = Kept(
            {
                "kind": "storage#bucket",
                "id": name,
                "projectNumber": project.number,
                "metageneration": "1",
                "storageClass": "STANDARD",
                "softDeletePolicy": {"retentionDurationSeconds": str(WEEK), "effectiveTime": "2026-01-01T00:00:00Z"},
            },
            {"kind": "storage#policy", "version": 1, "etag": _etag(), "bindings": [editors]},
        )
        return self._change(name, {**body, "location": body.get("location", "US").upper()})

    def _bucket_get(self, name: str, _: dict[str, str], __: Any) -> Any:
        self.server.project.need("storage.buckets.get")
        return self._find(name).resource

    def _bucket_patch(self, name: str, query: dict[str, str], body: Any) -> Any:
        self.server.project.need("storage.buckets.update")
        if query.get("ifMetagenerationMatch") not in (None, self._find(name).resource["metageneration"]):
            raise Refusal(412, "FAILED_PRECONDITION", "At least one of the pre-conditions you specified did not hold.")
        return self._change(name, body)

    def _bucket_delete(self, name: str, _: dict[str, str], __: Any) -> None:
        self.server.project.need("storage.buckets.delete")
        self._find(name)
        listed = self._ask("GET", f"/storage/v1/b/{name}/o", {"versions": "true"})
        if json.loads(listed.body).get("items"):
            raise Refusal(409, "ABORTED", "The bucket you tried to delete is not empty.")
        self._ask("DELETE", f"/storage/v1/b/{name}", {})
        del self.server.kept[name]

    def _bucket_get_policy(self, name: str, _: dict[str, str], __: Any) -> Any:
        self.server.project.need("storage.buckets.getIamPolicy")
        return self._find(name).policy

    def _bucket_put_policy(self, name: str, _: dict[str, str], body: Any) -> Any:
        self.server.project.need("storage.buckets.setIamPolicy")
        self.server.before_policy(name)
        kept = self._find(name)
        if body.get("etag") not in (None, kept.policy["etag"]):
            raise Refusal(412, "FAILED_PRECONDITION", "At least one of the pre-conditions you specified did not hold.")
        for binding in body.get("bindings", []):
            for member in binding["members"]:
                kind, _, email = member.partition(":")
                if kind == "serviceAccount" and not self.server.project.knows(email):
                    raise Refusal(400, "INVALID_ARGUMENT", f"Service account {email} does not exist.")
        kept.policy = {**body, "kind": "storage#policy", "etag": _etag()}
        return kept.policy

    def _find(self, name: str) -> Kept:
        if name in self.server.strangers:
            raise Refusal(403, "PERMISSION_DENIED", "The caller does not have storage.buckets.get access.")
        if name not in self.server.kept:
            raise Refusal(404, "NOT_FOUND", "The specified bucket does not exist.")
        return self.server.kept[name]

    def _change(self, name: str, body: Any) -> Any:
        resource = self.server.kept[name].resource
        for rule in body.get("lifecycle", {}).get("rule", []):
            if not rule["condition"] or rule["action"]["type"] not in ("Delete", "AbortIncompleteMultipartUpload"):
                raise Refusal(400, "INVALID_ARGUMENT", "The lifecycle configuration is invalid.")
        resource.update(body)
        kept = resource["softDeletePolicy"]["retentionDurationSeconds"]
        resource["softDeletePolicy"]["retentionDurationSeconds"] = str(kept)  # int64 is a string in JSON
        resource["metageneration"] = str(int(resource["metageneration"]) + 1)
        return resource


_JSON = {"Content-Type": "application/json"}
_REASONS = {400: "invalid", 403: "forbidden", 404: "notFound", 409: "conflict", 412: "conditionNotMet"}


def _etag() -> str:
    return base64.b64encode(secrets.token_bytes(4)).decode()
