"""Whatever keeps a command from AWS is one sentence that says what to do."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from .conftest import Heliostat

COMMANDS = [("status",), ("destroy", "--yes"), ("deploy", "--yes", "--image", "x")]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_credentials(command: tuple[str, ...], heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    refused = heliostat(*command)
    assert refused.status == 1
    assert refused.err.startswith("heliostat: error: there are no AWS credentials; ")
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_no_region(command: tuple[str, ...], heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    refused = heliostat(*command)
    assert refused.status == 1
    assert refused.err.startswith("heliostat: error: no AWS region is chosen; ")
    assert refused.err.count("\n") == 1


def test_no_such_profile(heliostat: Heliostat) -> None:
    refused = heliostat("status", "--profile", "nobody")
    assert refused.status == 1
    assert refused.err.startswith("heliostat: error: there is no AWS profile 'nobody'")


@pytest.mark.parametrize("command", COMMANDS[:2])
def test_no_stack(command: tuple[str, ...], aws: None, heliostat: Heliostat) -> None:
    refused = heliostat(*command, "--stack", "nowhere")
    assert refused.status == 1
    assert refused.err == (
        "heliostat: error: there is no stack 'nowhere' in eu-west-1; make it with `heliostat aws deploy --stack nowhere"
        " --image URI`, or choose another --stack, --region or --profile\n"
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("ExpiredToken", "log in again"),
        ("InvalidClientTokenId", "check AWS_ACCESS_KEY_ID or the profile"),
        ("SignatureDoesNotMatch", "check the secret key, and this machine's clock"),
        ("AccessDenied", "`heliostat aws policy` prints what the caller needs to be allowed"),
        ("Throttling", "AWS throttles stack heliostat"),
    ],
)
def test_refusals_of_aws(
    command: tuple[str, ...], code: str, advice: str, aws: None, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(client: BaseClient, operation: str, parameters: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "No."}}, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    refused = heliostat(*command)
    assert refused.status == 1
    assert refused.out == ""
    assert advice in refused.err
    assert refused.err.count("\n") == 1


def test_nobody_answers(heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    refused = heliostat("status", "--endpoint-url", "http://127.0.0.1:1")
    assert refused.status == 1
    assert "the connection to stack heliostat was lost" in refused.err
    assert refused.err.count("\n") == 1


@pytest.fixture
def no_aws() -> Iterator[str]:
    """A server that answers everything with a page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
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


def test_somebody_else_answers(no_aws: str, heliostat: Heliostat) -> None:
    refused = heliostat("status", "--endpoint-url", no_aws)
    assert refused.status == 1
    assert refused.err.startswith("heliostat: error: stack heliostat: what answered is not AWS; correct --endpoint-url")
    assert refused.err.count("\n") == 1
