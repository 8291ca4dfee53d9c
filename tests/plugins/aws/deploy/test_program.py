"""`heliostat aws` as a program, with AWS behind an address of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from moto.server import ThreadedMotoServer

from .conftest import IMAGE, close_gaps

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    close_gaps(monkeypatch)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    url = f"http://{host}:{port}"
    _post(f"{url}/moto-api/reset")
    _post(f"{url}/moto-api/config", {"lambda": {"use_docker": False}})
    yield url
    _post(f"{url}/moto-api/config", {"lambda": {"use_docker": True}})
    _post(f"{url}/moto-api/reset")
    moto.stop()


def _post(url: str, body: object = None) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture
def program(server: str) -> Program:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "heliostat", "aws", *arguments],
            env={**os.environ, "AWS_ENDPOINT_URL": server},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_from_nothing_to_a_stack_and_back(program: Program) -> None:
    made = program("deploy", "--image", IMAGE, "--yes")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.endswith("  heliostat render job.toml --worker aws-lambda --set stack=heliostat\n")
    told = program("status", "--json")
    assert (told.returncode, told.stderr) == (0, "")
    assert json.loads(told.stdout)["outputs"]["FunctionName"] == "heliostat-worker"
    doctor = program("doctor")
    assert "ok       clock: within 60 s of AWS\n" in doctor.stdout
    assert doctor.returncode == 1  # moto drops the configuration of events
    removed = program("destroy", "--yes", "--delete-artifacts")
    assert (removed.returncode, removed.stderr) == (0, "")
    gone = program("status")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr.startswith("heliostat: error: there is no stack 'heliostat' in eu-west-1; make it with")
    assert gone.stderr.count("\n") == 1


def test_no_sdk_is_imported_before_a_command_needs_it() -> None:
    code = (
        "import sys; from heliostat_aws.deploy import make_app; make_app();"
        " print(sorted({'boto3', 'botocore', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
