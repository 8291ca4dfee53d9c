"""`heliostat gcp policy` prints rights that are enough, and no more than what is used."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
from google.cloud import run_v2
from google.cloud.storage import Blob, Bucket, Client
from google_accounts import EMAIL

import heliostat_gcp

from .conftest import BUCKET, COORDINATOR, IMAGE, WORKER, Google, Heliostat

PACKAGE = Path(heliostat_gcp.__file__).parent
ROLES = ("coordinator", "deployer", "worker")

ON_BOTH_SIDES = {"artifacts", "gcs_batch", "gcs_objects", "gcs_retries", "gcs_signing", "gcs_transport", "gcs_upload"}
BY_COORDINATORS = {"admin_api", "executions", "id_tokens", "jobs", "services"}
BY_BOTH_THROUGH_THE_STORE = {"mailbox", "session"}
BY_WORKERS = {"callers", "task", "worker"}
WITHOUT_CALLS = {
    *("__init__", "clock", "costs", "errands", "errors", "gathering", "gcs_errors", "options", "plugin", "policy"),
    "sight",
}

WRITE = ("storage.objects.create", "storage.objects.delete")
"""To write over an object is to delete it, too: https://cloud.google.com/storage/docs/access-control/iam-json."""
IN_IAM = {
    "cancel_execution": ("run.executions.cancel",),
    "create_resumable_upload_session": WRITE,
    "download_to_file": ("storage.objects.get",),
    "get_blob": ("storage.objects.get",),
    "get_execution": ("run.executions.get",),
    "get_job": ("run.jobs.get",),
    "get_service": ("run.services.get",),
    "list_blobs": ("storage.objects.list",),
    "list_executions": ("run.executions.list",),
    "list_tasks": ("run.tasks.list",),
    "run_job": ("run.jobs.run", "run.jobs.runWithOverrides"),
    "upload_from_string": WRITE,
}
"""Permissions by the methods of Google's clients that need them."""
WITHOUT_A_CLIENT = {"WorkerClient": ("run.routes.invoke",), "DELETE /storage": ("storage.objects.delete",)}
"""Permissions by words in the code where no client of Google's is used."""
OUR_OWN = {"delete", "exists", "patch", "update"}
"""Names that the store, or Python, has as well; none of these is called of Google's."""

# Parts of the roles in "IAM roles and permissions index", https://cloud.google.com/iam/docs/roles-permissions.
_OBJECTS = "storage.objects.create storage.objects.delete storage.objects.get storage.objects.list"
ROLE_PERMISSIONS = {
    "roles/artifactregistry.reader": "artifactregistry.repositories.downloadArtifacts",
    "roles/iam.serviceAccountAdmin": "iam.serviceAccounts.create iam.serviceAccounts.delete iam.serviceAccounts.enable"
    " iam.serviceAccounts.get iam.serviceAccounts.getIamPolicy iam.serviceAccounts.setIamPolicy"
    " iam.serviceAccounts.update",
    "roles/iam.serviceAccountTokenCreator": "iam.serviceAccounts.getAccessToken iam.serviceAccounts.getOpenIdToken",
    "roles/iam.serviceAccountUser": "iam.serviceAccounts.actAs",
    "roles/run.admin": "run.executions.cancel run.executions.list run.jobs.create run.jobs.delete run.jobs.get"
    " run.jobs.getIamPolicy run.jobs.setIamPolicy run.jobs.update run.operations.get run.services.create"
    " run.services.delete run.services.get run.services.getIamPolicy run.services.setIamPolicy run.services.update",
    "roles/run.invoker": "run.routes.invoke",
    "roles/run.jobsExecutorWithOverrides": "run.executions.cancel run.jobs.run run.jobs.runWithOverrides",
    "roles/run.viewer": "run.executions.get run.executions.list run.jobs.get run.services.get run.tasks.list",
    "roles/serviceusage.serviceUsageViewer": "serviceusage.services.get",
    "roles/storage.admin": "storage.buckets.create storage.buckets.delete storage.buckets.get"
    f" storage.buckets.getIamPolicy storage.buckets.setIamPolicy storage.buckets.update {_OBJECTS}",
    "roles/storage.objectUser": _OBJECTS,
}

Grant = dict[str, Any]


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials, project or region."""
    monkeypatch.chdir(tmp_path)


def grants(heliostat: Heliostat, role: str, *arguments: str) -> list[Grant]:
    printed = heliostat("policy", "--for", role, *arguments)
    assert (printed.status, printed.err) == (0, "")
    assert printed.json["for"] == role
    found: list[Grant] = printed.json["grants"]
    return found


def permissions(found: list[Grant]) -> set[str]:
    return {permission for grant in found for permission in grant["permissions"]}


# --- least -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("role", ROLES)
def test_every_permission_is_one_of_the_role_beside_it(role: str, heliostat: Heliostat) -> None:
    for grant in grants(heliostat, role):
        assert set(grant["permissions"]) <= set(ROLE_PERMISSIONS[grant["role"]].split()), grant
        assert grant["permissions"] == sorted(set(grant["permissions"]))


@pytest.mark.usefixtures("nobody")
def test_only_a_deployer_has_roles_on_the_project(heliostat: Heliostat) -> None:
    for role in ("coordinator", "worker"):
        for grant in grants(heliostat, role):
            assert grant["resource"].rpartition("/")[2].startswith("heliostat"), grant
    on_the_project = {
        grant["role"] for grant in grants(heliostat, "deployer") if "cloudresourcemanager" in grant["resource"]
    }
    assert on_the_project == {
        *("roles/iam.serviceAccountAdmin", "roles/iam.serviceAccountUser", "roles/run.admin"),
        *("roles/serviceusage.serviceUsageViewer", "roles/storage.admin"),
    }


@pytest.mark.usefixtures("nobody")
def test_project_region_name_and_image_narrow_it(heliostat: Heliostat) -> None:
    where = ("--name", "farm", "--project", "studio", "--region", "europe-west1", "--project-number", "12")
    resources = {grant["resource"] for grant in grants(heliostat, "coordinator", *where)}
    assert resources == {
        "//storage.googleapis.com/projects/_/buckets/farm-12-europe-west1",
        "//run.googleapis.com/projects/studio/locations/europe-west1/services/farm",
        "//run.googleapis.com/projects/studio/locations/europe-west1/jobs/farm",
    }
    (bucket,) = grants(heliostat, "worker", *where)
    assert bucket["resource"] == "//storage.googleapis.com/projects/_/buckets/farm-12-europe-west1"
    image = "us-docker.pkg.dev/team/films/blender@sha256:" + "0" * 64
    repository = grants(heliostat, "deployer", *where, "--image", image)[-1]
    assert repository == {
        "resource": "//artifactregistry.googleapis.com/projects/team/locations/us/repositories/films",
        "role": "roles/artifactregistry.reader",
        "permissions": ["artifactregistry.repositories.downloadArtifacts"],
    }


@pytest.mark.usefixtures("nobody")
def test_an_image_elsewhere_than_in_artifact_registry_is_refused(heliostat: Heliostat) -> None:
    refused = heliostat("policy", "--for", "deployer", "--image", "heliostat-worker:latest")
    assert refused.status == 2
    assert refused.err.startswith(
        "heliostat: error: 'heliostat-worker:latest' is no image in Artifact Registry; write REGION-docker.pkg.dev/"
    )


# --- enough, and no more ---------------------------------------------------------------------------------------------


def of_clients() -> set[str]:
    """The methods of Google's clients that make requests."""
    run = (run_v2.ServicesClient, run_v2.JobsClient, run_v2.ExecutionsClient, run_v2.TasksClient)
    return {
        name
        for client in (*run, Client, Bucket, Blob)
        for name, function in inspect.getmembers(client, inspect.isfunction)
        if not name.startswith("_") and "retry" in inspect.signature(function).parameters
    } - OUR_OWN


def calls(modules: set[str]) -> set[str]:
    """Permissions for what modules of the package call Google for."""
    known = of_clients()
    needed: set[str] = set()
    for module in modules:
        text = (PACKAGE / f"{module}.py").read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and node.attr in known:
                needed.update(IN_IAM[node.attr])
        for words, granted in WITHOUT_A_CLIENT.items():
            if words in text:
                needed.update(granted)
    return needed


def test_every_module_is_known_to_be_used_by_coordinators_or_workers_or_both() -> None:
    there = {path.stem for path in PACKAGE.glob("*.py")}
    assert there == ON_BOTH_SIDES | BY_COORDINATORS | BY_BOTH_THROUGH_THE_STORE | BY_WORKERS | WITHOUT_CALLS
    assert calls(WITHOUT_CALLS | BY_BOTH_THROUGH_THE_STORE) == set()


def test_coordinators_may_do_what_their_code_calls_and_nothing_else(heliostat: Heliostat, nobody: None) -> None:
    assert permissions(grants(heliostat, "coordinator")) == calls(ON_BOTH_SIDES | BY_COORDINATORS)


def test_workers_may_do_what_their_code_calls_and_nothing_else(heliostat: Heliostat, nobody: None) -> None:
    assert permissions(grants(heliostat, "worker")) == calls(ON_BOTH_SIDES | BY_WORKERS)


def test_deployers_may_do_what_the_commands_call_and_nothing_else(
    google: Google, heliostat: Heliostat, gcs: Any
) -> None:
    assert heliostat("deploy", "--image", IMAGE, answer="n\n").status == 1
    google.run.admin.slow = 1
    assert heliostat("deploy", "--image", IMAGE, "--caller", EMAIL, "--yes").status == 0
    google.project.accounts[WORKER].resource |= {"disabled": True, "displayName": "by hand"}
    assert heliostat("deploy", "--memory", 512, "--parameter", "ArtifactExpiryDays=1", "--yes").status == 0
    assert heliostat("status").status == 0
    assert heliostat("doctor").status == 0
    gcs.bucket(BUCKET).blob("jobs/j1/film.mp4").upload_from_string(b"film")
    assert heliostat("destroy", "--yes", "--delete-artifacts").status == 0
    printed = permissions(grants(heliostat, "deployer"))
    assert google.used - printed == set()
    # A stand-in has no registry, and an execution that runs is what another test has.
    assert printed - google.used == {"artifactregistry.repositories.downloadArtifacts", "run.executions.cancel"}


def test_the_deployment_gives_what_is_printed(deployed: Google, heliostat: Heliostat) -> None:
    where = ("--project", "studio", "--region", "europe-west1", "--project-number", "123456789012")
    given = {
        f"buckets/{BUCKET}": deployed.bucket_policy,
        "services/heliostat": deployed.policy("services"),
        "jobs/heliostat": deployed.policy("jobs"),
    }
    for role, email in (("coordinator", COORDINATOR), ("worker", WORKER)):
        printed = {(each["resource"], each["role"]) for each in grants(heliostat, role, *where)}
        held = {
            (name, granted)
            for name, policy in given.items()
            for granted, members in policy.items()
            if f"serviceAccount:{email}" in members
        }
        assert {("/".join(resource.split("/")[-2:]), granted) for resource, granted in printed} == held
