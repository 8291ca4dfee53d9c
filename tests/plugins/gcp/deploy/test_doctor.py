"""`heliostat gcp doctor` finds what would keep jobs from running, and says how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from google.auth import iam
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import run_v2
from google.iam.v1 import policy_pb2
from google.oauth2 import id_token
from google_accounts import EMAIL

from heliostat_gcp.deploy import calling

from .conftest import BUCKET, COORDINATOR, IMAGE, Google, Heliostat

Change = Callable[[Google], object]


def findings(out: str) -> dict[str, tuple[str, str]]:
    """By check: verdict and what was found."""
    told = {}
    for line in out.splitlines():
        verdict, _, rest = line.partition(" ")
        check, _, detail = rest.strip().partition(": ")
        told[check] = (verdict, detail)
    return told


def test_all_is_well(deployed: Google, heliostat: Heliostat) -> None:
    told = heliostat("doctor", "--concurrency", 100)
    assert (told.status, told.err) == (0, ""), told.out
    found = findings(told.out)
    assert list(found) == [
        *("credentials, project, region", "APIs", "service", "settings", "access", "ID token", "caller", "worker"),
        *("concurrency", "job", "job's settings", "bucket", "lifecycle"),
    ]
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert found["worker"][1] == f"answers, with Heliostat {version('heliostat')}"
    assert found["concurrency"][1] == "up to 100 chunks at once, as far as the region's quotas go"
    assert found["credentials, project, region"][1] == f"found ({EMAIL}), in europe-west1 of studio"


def test_nothing_is_left_behind(deployed: Google, heliostat: Heliostat, gcs: Any) -> None:
    assert heliostat("doctor").status == 0
    assert deployed.buckets.count("insert") == 1
    assert list(gcs.list_blobs(BUCKET)) == []


def test_without_a_project_it_ends_there(google: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "nowhere.json")
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    told = heliostat("doctor")
    assert (told.status, told.err) == (1, "")
    assert list(findings(told.out)) == ["credentials, project, region"]
    assert findings(told.out)["credentials, project, region"][0] == "failed"


def test_nothing_is_deployed(google: Google, heliostat: Heliostat) -> None:
    told = heliostat("doctor")
    found = findings(told.out)
    assert told.status == 1
    assert list(found) == ["credentials, project, region", "APIs", "service", "job"]
    verdict, detail = found["service"]
    assert verdict == "failed"
    assert detail == (
        f"there is no service 'heliostat' in europe-west1 of studio; {DEPLOY}, or choose another --name, --project or"
        " --region"
    )


# --- one thing is wrong ----------------------------------------------------------------------------------------------


def variable(google: Google, name: str, value: str | None) -> None:
    container = google.service.template.containers[0]
    kept = [each for each in container.env if each.name != name]
    container.env = kept if value is None else [*kept, run_v2.EnvVar(name=name, value=value)]


def invokers(google: Google, *members: str) -> None:
    google.run.resources.policies[google.service.name] = policy_pb2.Policy(
        bindings=[policy_pb2.Binding(role="roles/run.invoker", members=members)]
    )


def not_ready(resource: Any) -> None:
    resource.terminal_condition = run_v2.Condition(
        state=run_v2.Condition.State.CONDITION_FAILED, message="Image 'x' not found."
    )


def pinned(google: Google) -> None:
    google.service.traffic = [run_v2.TrafficTarget(revision="heliostat-00001-abc", percent=100)]


def bucket(google: Google) -> dict[str, Any]:
    resource: dict[str, Any] = google.buckets.kept[BUCKET].resource
    return resource


def other_job_bucket(google: Google) -> None:
    google.job.template.template.containers[0].env = [run_v2.EnvVar(name="HELIOSTAT_ARTIFACTS", value="gs://x")]


DEPLOY = "run `heliostat gcp deploy --name heliostat`"

AT_THE_ROOT = {"action": {"type": "Delete"}, "condition": {"age": 7, "matchesPrefix": ["control/"]}}

WRONG: dict[str, tuple[Change, str, str]] = {
    "an API is off": (
        lambda google: google.project.enabled.remove("iamcredentials.googleapis.com"),
        "APIs",
        "iamcredentials.googleapis.com are switched off; switch them on with `gcloud services enable iamcred",
    ),
    "the service is not ready": (
        lambda google: not_ready(google.service),
        "service",
        f"heliostat is not ready (Image 'x' not found); mend that, then {DEPLOY}",
    ),
    "the service is being changed": (
        lambda google: setattr(google.service, "reconciling", True),
        "service",
        "heliostat is being changed right now; wait until that is over",
    ),
    "no bucket is set": (
        lambda google: variable(google, "HELIOSTAT_ARTIFACTS", None),
        "settings",
        f"HELIOSTAT_ARTIFACTS is not set; {DEPLOY}",
    ),
    "the audience is none of the service's": (
        lambda google: setattr(google.service, "custom_audiences", ["https://film"]),
        "settings",
        "HELIOSTAT_AUDIENCE, https://heliostat/studio/europe-west1/heliostat, is none of the service's custom",
    ),
    "an instance gets more requests than it has slots": (
        lambda google: setattr(google.service.template, "max_instance_request_concurrency", 80),
        "settings",
        f"an instance gets 80 requests at once, and the worker has 1 slots; {DEPLOY}",
    ),
    "requests go to an old revision": (pinned, "settings", f"not all requests go to the newest revision; {DEPLOY}"),
    "requests from elsewhere are not let in": (
        lambda google: setattr(google.service, "ingress", run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY),
        "access",
        f"requests from elsewhere are not let in (INGRESS_TRAFFIC_INTERNAL_ONLY); {DEPLOY}",
    ),
    "everybody is let in": (
        lambda google: setattr(google.service, "invoker_iam_disabled", True),
        "access",
        f"Cloud Run lets everybody in; {DEPLOY}",
    ),
    "the address is off": (
        lambda google: setattr(google.service, "default_uri_disabled", True),
        "access",
        f"the service's address is switched off; {DEPLOY}",
    ),
    "the worker does not know the caller": (
        lambda google: variable(google, "HELIOSTAT_CALLERS", COORDINATOR),
        "caller",
        f"{EMAIL} is none of those in HELIOSTAT_CALLERS; run `heliostat gcp deploy --name heliostat --caller {EMAIL}`",
    ),
    "the caller may not call": (
        lambda google: invokers(google, f"serviceAccount:{COORDINATOR}"),
        "caller",
        f"{EMAIL} has not the role roles/run.invoker on the service; run `heliostat gcp deploy",
    ),
    "everybody may call": (
        lambda google: invokers(google, f"serviceAccount:{EMAIL}", "allUsers"),
        "caller",
        f"allUsers may call the service; {DEPLOY}",
    ),
    "there are too few instances": (
        lambda google: setattr(google.service.template.scaling, "max_instance_count", 9),
        "concurrency",
        "10 chunks at once are wanted, and the service runs 9; render with --concurrency 9, or run `heliostat gcp",
    ),
    "the job is missing": (
        lambda google: google.run.resources.jobs.pop(google.job.name),
        "job",
        f"there is no job 'heliostat' in europe-west1 of studio; {DEPLOY}, or choose another --name",
    ),
    "Cloud Run tries tasks again": (
        lambda google: setattr(google.job.template.template, "max_retries", 3),
        "job's settings",
        f"Cloud Run tries a task up to 3 times again, which would run chunks twice; {DEPLOY}",
    ),
    "the job has another bucket": (
        other_job_bucket,
        "job's settings",
        f"it has gs://x for artifacts, and the service gs://{BUCKET}; {DEPLOY}",
    ),
    "an execution runs too few tasks": (
        lambda google: setattr(google.job.template, "parallelism", 4),
        "job's settings",
        "10 chunks at once are wanted, and an execution runs 4 tasks at once; render with --concurrency 4, or run",
    ),
    "the bucket cannot be written to": (
        lambda google: google.deny("storage.objects.create"),
        "bucket",
        "access is denied; give the caller the role Storage Object User (roles/storage.objectUser) on the bucket",
    ),
    "messages stay for ever": (
        lambda google: bucket(google).update(lifecycle={"rule": []}),
        "lifecycle",
        f"messages of dead coordinators stay in gs://{BUCKET} for ever; {DEPLOY}",
    ),
    "messages stay for ever where the store has a prefix": (
        lambda google: bucket(google).update(lifecycle={"rule": [AT_THE_ROOT]}),
        "lifecycle",
        f"messages of dead coordinators stay in gs://{BUCKET} for ever; {DEPLOY}",
    ),
    "objects have access lists": (
        lambda google: bucket(google)["iamConfiguration"].update(uniformBucketLevelAccess={"enabled": False}),
        "lifecycle",
        f"objects of gs://{BUCKET} have access lists of their own; {DEPLOY}",
    ),
    "the bucket may be made public": (
        lambda google: bucket(google)["iamConfiguration"].update(publicAccessPrevention="inherited"),
        "lifecycle",
        f"gs://{BUCKET} may be made public; {DEPLOY}",
    ),
}
"""By what is wrong: how it comes to be so, the check that finds it, and how its sentence begins or what is in it."""


@pytest.mark.parametrize("wrong", WRONG)
def test_one_thing_is_wrong(
    wrong: str, deployed: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, check, sentence = WRONG[wrong]
    change(deployed)
    told = heliostat("doctor", "--concurrency", 10)
    found = findings(told.out)
    assert found[check][0] == "failed", told.out
    assert sentence in found[check][1]
    failed = [name for name, (said, _) in found.items() if said == "failed"]
    assert failed == ([check, "worker"] if "audience" in wrong else [check])  # which the door really does not let in
    assert told.status == 1
    assert check == "bucket" or "lifecycle" in found  # it went on to the end


def test_a_deploy_mends_what_it_finds(deployed: Google, heliostat: Heliostat) -> None:
    """Each of those that say so, all at once."""
    for wrong, (change, _, sentence) in WRONG.items():
        if DEPLOY in sentence and wrong not in ("the service is not ready", "the job is missing"):
            change(deployed)
    assert WRONG["the job is missing"][0](deployed)
    assert heliostat("doctor").status == 1
    mended = heliostat("deploy", "--image", IMAGE, "--caller", EMAIL, "--yes")
    assert (mended.status, mended.err) == (0, "")
    told = heliostat("doctor")
    assert told.status == 0, told.out


# --- the worker ------------------------------------------------------------------------------------------------------


def test_a_worker_of_another_version(deployed: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "version", lambda name: "9.9.9")
    told = heliostat("doctor")
    assert told.status == 1
    verdict, detail = findings(told.out)["worker"]
    assert verdict == "failed"
    assert detail.startswith(f"the worker has Heliostat {version('heliostat')}, and this machine 9.9.9; install that")


def test_a_worker_that_needs_its_time_is_waited_for(
    deployed: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "WAIT", 0.01)
    deployed.run.front.faults.extend(["unavailable", "no instance", "throttle"])
    assert findings(heliostat("doctor").out)["worker"][0] == "ok"
    assert not deployed.run.front.faults


def test_a_worker_that_does_not_start(deployed: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "PATIENCE", 0.0)
    deployed.run.front.faults.append("unavailable")
    told = heliostat("doctor")
    assert told.status == 1
    verdict, detail = findings(told.out)["worker"]
    assert verdict == "failed"
    assert detail.endswith("HTTP 503: Error Service Unavailable; see the service's log, mend the image and deploy it")


@pytest.mark.parametrize(("fault", "advice"), [("unauthenticated", "HELIOSTAT_AUDIENCE"), ("denied", "roles/run.inv")])
def test_a_door_that_stays_shut(fault: str, advice: str, deployed: Google, heliostat: Heliostat) -> None:
    deployed.run.front.faults.append(fault)
    verdict, detail = findings(heliostat("doctor").out)["worker"]
    assert verdict == "failed"
    assert advice in detail


def test_a_bucket_that_is_not_there(deployed: Google, heliostat: Heliostat, gcs: Any) -> None:
    gcs.bucket(BUCKET).delete()
    verdict, detail = findings(heliostat("doctor").out)["bucket"]
    gcs.create_bucket(BUCKET)
    assert verdict == "failed"
    assert "the bucket does not exist; create it, or correct the store's URL" in detail


# --- who may ask -----------------------------------------------------------------------------------------------------


def test_credentials_that_cannot_make_id_tokens(
    deployed: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of people."""

    def none(audience: str, request: Any = None) -> None:
        raise DefaultCredentialsError("Neither metadata server or valid service account credentials are found.")

    monkeypatch.setattr(id_token, "fetch_id_token_credentials", none)
    told = heliostat("doctor")
    found = findings(told.out)
    assert told.status == 1
    verdict, detail = found["ID token"]
    assert verdict == "failed"
    assert detail == (
        "these credentials cannot make ID tokens (Neither metadata server or valid service account credentials are"
        f" found.); use those of a service account, or add --impersonate {COORDINATOR} here, and --set"
        f" impersonate={COORDINATOR} to `heliostat render`"
    )
    assert "worker" not in found
    assert found["lifecycle"][0] == "ok"


def test_a_clock_that_is_wrong(deployed: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployed.accounts, "ahead", -1200.0)
    told = heliostat("doctor")
    assert told.status == 1
    verdict, detail = findings(told.out)["ID token"]
    assert verdict == "failed"
    assert detail == (
        "Google makes no ID token, since this machine's clock is 20 min ahead of Google's; set this machine's clock"
        " right, such as with NTP"
    )


@pytest.fixture
def token_creator(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tokens of other accounts are had from; the library asks Google alone."""
    path = "/v1/projects/-/serviceAccounts/{}:generateIdToken"
    monkeypatch.setattr(iam, "_IAM_IDTOKEN_ENDPOINT", f"{google.project.url}{path}")


@pytest.mark.usefixtures("token_creator")
def test_a_caller_may_call_in_the_coordinators_name(deployed: Google, heliostat: Heliostat) -> None:
    told = heliostat("doctor", "--impersonate", COORDINATOR)
    assert told.status == 0, told.out
    found = findings(told.out)
    assert found["caller"] == ("ok", f"{COORDINATOR} may run chunks")
    assert found["worker"][0] == "ok"


@pytest.mark.usefixtures("token_creator")
def test_nobody_else_may_call_in_the_coordinators_name(google: Google, heliostat: Heliostat) -> None:
    assert heliostat("deploy", "--image", IMAGE, "--yes").status == 0
    told = heliostat("doctor", "--impersonate", COORDINATOR)
    assert told.status == 1
    verdict, detail = findings(told.out)["ID token"]
    assert verdict == "failed"
    assert "iam.serviceAccounts.getOpenIdToken" in detail


class AllBut(set[str]):
    """Everything but a few."""

    def __contains__(self, permission: object) -> bool:
        return not super().__contains__(permission)


def test_a_coordinator_sees_all_that_concerns_it(deployed: Google, heliostat: Heliostat) -> None:
    """With no other permissions than `policy` prints for it."""
    grants = heliostat("policy", "--for", "coordinator").json["grants"]
    allowed = AllBut(permission for grant in grants for permission in grant["permissions"])
    deployed.project.denied = allowed
    deployed.run.admin.denied = allowed
    told = heliostat("doctor", "--concurrency", 100)
    deployed.run.admin.denied = set()
    found = findings(told.out)
    assert told.status == 0, told.out
    unknown = [check for check, (verdict, _) in found.items() if verdict == "unknown"]
    assert unknown == ["APIs", "caller", "lifecycle"]
    assert found["APIs"][1] == "the caller may not look, which only a deployer need"
    assert found["worker"][0] == "ok"
