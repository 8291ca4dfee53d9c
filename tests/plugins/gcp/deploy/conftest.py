"""A project of Google's without anything in it, and `heliostat gcp …` run against it."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fake_buckets import FakeBuckets
from fake_cloud_run import FakeCloudRun
from fake_project import Account, FakeProject
from google.auth.crypt import RSASigner
from google.iam.v1 import policy_pb2
from google_accounts import EMAIL, Accounts

from heliostat import plugins
from heliostat.cli.main import run
from heliostat_gcp import gcs_retries
from heliostat_gcp.deploy import operations, settling

REGION = "europe-west1"
PLACE = f"projects/studio/locations/{REGION}"
IMAGE = f"{REGION}-docker.pkg.dev/studio/heliostat/worker:0.1.0"
BUCKET = f"heliostat-{FakeProject.number}-{REGION}"
WORKER = "heliostat-worker@studio.iam.gserviceaccount.com"
COORDINATOR = "heliostat-coordinator@studio.iam.gserviceaccount.com"


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Heliostat = Callable[..., Outcome]


@dataclass
class Google:
    """All of it, as Google itself sees it."""

    project: FakeProject
    buckets: FakeBuckets
    run: FakeCloudRun
    accounts: Accounts

    @property
    def service(self) -> Any:
        return self.run.resources.services.get(f"{PLACE}/services/heliostat")

    @property
    def job(self) -> Any:
        return self.run.resources.jobs.get(f"{PLACE}/jobs/heliostat")

    def policy(self, collection: str) -> dict[str, set[str]]:
        """Members by role, of the service or the job."""
        found = self.run.resources.policies.get(f"{PLACE}/{collection}/heliostat", policy_pb2.Policy())
        return {binding.role: set(binding.members) for binding in found.bindings}

    @property
    def bucket_policy(self) -> dict[str, set[str]]:
        return {each["role"]: set(each["members"]) for each in self.buckets.kept[BUCKET].policy["bindings"]}

    @property
    def used(self) -> set[str]:
        """Permissions that were needed so far."""
        return self.project.used | self.run.admin.used

    def deny(self, *permissions: str) -> None:
        self.project.denied.update(permissions)
        self.run.admin.denied.update(permissions)


@pytest.fixture(autouse=True, scope="module")
def check_keys_once() -> Iterator[None]:
    """Every command reads the account's key several times, each of which takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(RSASigner, "from_string", staticmethod(functools.cache(RSASigner.from_string)))
        yield


@pytest.fixture
def google(
    session_cloud: Any, fake_gcs: str, gcs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Google]:
    """The project `studio`, empty, and what a deployer finds in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("heliostat_gcp.deploy.google.WAIT", 0.01)
    monkeypatch.setattr(operations, "POLL", 0.01)
    monkeypatch.setattr(settling, "WAIT", 0.01)
    monkeypatch.setattr(gcs_retries, "LONGEST_WAIT", 0.01)
    run_: FakeCloudRun = session_cloud.run
    with FakeProject() as project, FakeBuckets(fake_gcs, project) as buckets:
        settings = {
            "GOOGLE_CLOUD_PROJECT": project.id,
            "GOOGLE_CLOUD_REGION": REGION,
            "GOOGLE_APPLICATION_CREDENTIALS": str(session_cloud.accounts.key_file(tmp_path)),
            "STORAGE_EMULATOR_HOST": buckets.url,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM": project.url,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_SERVICEUSAGE": f"{project.url}/",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HELIOSTAT_PLUGINS", raising=False)
        plugins.registry.cache_clear()
        admin = run_.admin
        admin.knows = project.knows
        project.accounts[EMAIL] = Account({"email": EMAIL}, {})  # whose these credentials are
        admin.used.clear()
        yield Google(project, buckets, run_, session_cloud.accounts)
        plugins.registry.cache_clear()
        admin.knows = lambda email: True
        admin.denied.clear()
        admin.missing_images.clear()
        admin.slow = 0
        for kept in (run_.resources.services, run_.resources.jobs, run_.resources.policies, run_.resources.executions):
            for name in [name for name in kept if not name.endswith("/film") and "/film/" not in name]:
                kept.pop(name)
        for name in buckets.kept:
            for blob in gcs.list_blobs(name):
                blob.delete()
            gcs.bucket(name).delete()


@pytest.fixture
def heliostat(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], session_cloud: Any) -> Heliostat:
    """`heliostat("status")` runs `heliostat gcp status` in this process; `answer` is typed on a terminal."""

    def call(*args: object, answer: str | None = None) -> Outcome:
        where = () if args[0] == "policy" or "--endpoint" in args else ("--endpoint", session_cloud.run.endpoint)
        monkeypatch.setattr(sys, "argv", ["heliostat", "gcp", *map(str, args), *where])
        monkeypatch.setattr(sys, "stdin", StringIO() if answer is None else Terminal(answer))
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            run()
        out, err = capfd.readouterr()
        status = exit_.value.code
        assert isinstance(status, int)
        return Outcome(status, out, err)

    return call


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def deployed(google: Google, heliostat: Heliostat) -> Google:
    """The deployment `heliostat`, on which the account of these credentials may run jobs."""
    made = heliostat("deploy", "--image", IMAGE, "--caller", EMAIL, "--yes")
    assert (made.status, made.err) == (0, ""), made
    return google
