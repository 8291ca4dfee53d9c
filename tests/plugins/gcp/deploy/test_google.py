"""Whatever keeps a command from Google is one sentence that says what to do."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import IMAGE, Google, Heliostat

COMMANDS = [("status",), ("destroy", "--yes"), ("deploy", "--yes", "--image", IMAGE)]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_credentials(
    command: tuple[str, ...], google: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "nowhere.json")
    refused = heliostat(*command)
    assert refused.status == 1
    assert refused.err.startswith("heliostat: error: there are no Google credentials that work (")
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize("command", [*COMMANDS, ("doctor",)])
def test_no_region(
    command: tuple[str, ...], google: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_REGION")
    refused = heliostat(*command)
    assert refused.status == 1
    assert "no region is chosen; give region=…, such as europe-west1, or set GOOGLE_CLOUD_REGION" in (
        refused.out if command == ("doctor",) else refused.err
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_no_project(
    command: tuple[str, ...], google: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = json.loads((tmp_path / "key.json").read_text())
    (tmp_path / "key.json").write_text(json.dumps({**key, "project_id": None}))
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    refused = heliostat(*command)
    assert refused.status == 1
    assert refused.err.startswith("heliostat: error: no project is chosen; give project=…, or set GOOGLE_CLOUD_PROJECT")
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_project_that_is_not_there(command: tuple[str, ...], google: Google, heliostat: Heliostat) -> None:
    refused = heliostat(*command, "--project", "elsewhere")
    assert refused.status == 1
    assert refused.err == (
        "heliostat: error: project elsewhere: Project 'elsewhere' not found or permission denied; `heliostat gcp policy"
        " --for deployer` prints what the caller needs to be allowed\n"
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("permission", ["serviceusage.services.get", "run.services.get", "iam.serviceAccounts.get"])
def test_what_the_caller_may_not_look_at(
    permission: str, command: tuple[str, ...], google: Google, heliostat: Heliostat
) -> None:
    google.deny(permission)
    refused = heliostat(*command)
    if command == ("status",) and permission == "iam.serviceAccounts.get":
        assert f"unknown: Permission '{permission}' denied" in refused.out
        return
    assert refused.status == 1
    assert f"Permission '{permission}' denied on resource" in refused.err
    assert "; `heliostat gcp policy --for deployer` prints what the caller needs to be allowed" in refused.err
    assert refused.err.count("\n") == 1


def test_the_api_that_tells_of_apis_is_switched_off(google: Google, heliostat: Heliostat) -> None:
    google.project.enabled.remove("serviceusage.googleapis.com")
    refused = heliostat("status")
    assert refused.status == 1
    assert refused.err.endswith(
        "; switch it on with `gcloud services enable serviceusage.googleapis.com`, and try again in a few minutes\n"
    )


def test_credentials_that_google_does_not_take_any_more(google: Google, heliostat: Heliostat) -> None:
    google.accounts.refuses = True
    try:
        refused = heliostat("status")
    finally:
        google.accounts.refuses = False
    assert refused.status == 1
    assert "credentials for project studio are missing or worn out" in refused.err
    assert refused.err.count("\n") == 1


def test_google_is_busy_for_long(google: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliostat_gcp.deploy.google.TRIES", 2)
    google.project.unavailable = 100
    refused = heliostat("status")
    assert refused.status == 1
    assert "The service is currently unavailable" in refused.err
    assert refused.err.count("\n") == 1
    assert google.project.unavailable == 98


@pytest.mark.parametrize("service", ["SERVICEUSAGE", "IAM"])
def test_nobody_answers(service: str, google: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}", "http://127.0.0.1:1")
    refused = heliostat("destroy", "--yes")
    assert refused.status == 1
    assert "the connection to Google for " in refused.err
    assert refused.err.count("\n") == 1


@pytest.fixture
def no_google() -> Iterator[str]:
    """A server that answers everything with a page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_somebody_else_answers(
    no_google: str, google: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_SERVICEUSAGE", no_google)
    refused = heliostat("status")
    assert refused.status == 1
    assert refused.err.startswith(
        "heliostat: error: project studio: what answered is not Google; correct CLOUDSDK_API_"
    )
    assert refused.err.count("\n") == 1
