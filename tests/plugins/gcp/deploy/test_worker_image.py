"""The worker image on Cloud Run. There is no Docker where these tests run: its entry point is started.

What its files say otherwise is tested beside the AWS plugin, `tests/plugins/aws/deploy/test_worker_image.py`.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest
from google_accounts import EMAIL, Accounts, id_token

WORKER = Path(__file__).parents[4] / "infra/worker"
ENTRYPOINT = WORKER / "entrypoint.sh"
PATIENCE = 60.0
"""Seconds for the worker to listen."""


def environment(**extra: str) -> dict[str, str]:
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": "/tmp", **extra}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def service(accounts: Accounts, tmp_path: Path) -> Iterator[str]:
    """The address of what the image runs as a service of Cloud Run."""
    port = free_port()
    variables = {
        "K_SERVICE": "heliostat",
        "PORT": str(port),
        "TMPDIR": str(tmp_path),
        "HELIOSTAT_HOST": "127.0.0.1",
        "HELIOSTAT_AUDIENCE": "https://film",
        "HELIOSTAT_CALLERS": EMAIL,
        "HELIOSTAT_CERTS_URL": f"http://{accounts.address}/certs",
    }
    started = subprocess.Popen([ENTRYPOINT], env=environment(**variables), stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + PATIENCE
        while not _listens(port):
            assert started.poll() is None, started.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        started.terminate()
        started.communicate()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def ask(url: str, token: str) -> tuple[int, Any]:
    request = urllib.request.Request(f"{url}/v1/worker", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_service_answers_those_who_may(service: str) -> None:
    status, info = ask(service, id_token("https://film"))
    assert (status, info["version"], info["slots"]) == (200, version("heliostat"), 1)
    assert ask(service, id_token("https://another"))[0] == 401
    assert ask(service, id_token("https://film", email="eve@example.com"))[0] == 401


def test_a_task_of_a_job_looks_for_its_request() -> None:
    """There is none here, which it says."""
    done = subprocess.run(
        [ENTRYPOINT], env=environment(CLOUD_RUN_JOB="heliostat"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "CLOUD_RUN_TASK_INDEX" in done.stderr
    assert done.stderr.endswith("is not set; deploy with `heliostat gcp deploy`\n")


@pytest.mark.parametrize("variable", ["K_SERVICE", "CLOUD_RUN_JOB"])
def test_another_command_is_run_where_one_is_given(variable: str) -> None:
    done = subprocess.run(
        [ENTRYPOINT, "version"], env=environment(**{variable: "x"}), capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"[0-9.]+\S*\n", done.stdout)


def test_the_image_has_what_the_worker_imports() -> None:
    """It installs the wheel of heliostat-gcp with all that this requires."""
    needed = {re.split(r"[^A-Za-z0-9-]", line)[0] for line in requires("heliostat-gcp") or ()}
    assert {"google-auth", "google-cloud-storage", "heliostat", "requests"} <= needed
    made, installed = re.findall(r"pip (?:wheel|install) .*", (WORKER / "Dockerfile").read_text())
    assert "./plugins/gcp" in made.split()
    assert "/wheels/*.whl" in installed.split()
    assert "--no-deps" not in installed
