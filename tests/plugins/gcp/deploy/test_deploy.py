"""`heliostat gcp deploy` makes and changes service, job, bucket and accounts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from google_accounts import EMAIL

from heliostat_gcp.admin_api import environment
from heliostat_gcp.deploy import operations, settling

from .conftest import BUCKET, COORDINATOR, IMAGE, REGION, WORKER, Google, Heliostat

TITLE = "Deployment heliostat in europe-west1 of studio"
DEPLOY = ("deploy", "--image", IMAGE, "--yes")
CONDITION = "CONDITION_SUCCEEDED"


def test_all_is_made_that_adapters_and_workers_rely_on(google: Google, heliostat: Heliostat) -> None:
    callers = (COORDINATOR, EMAIL, "Ann@Example.com", EMAIL)  # one needlessly, one twice, one as people write it
    made = heliostat(*DEPLOY, *(word for caller in callers for word in ("--caller", caller)))
    assert (made.status, made.err) == (0, "")
    service, job = google.service, google.job
    audience = "https://heliostat/studio/europe-west1/heliostat"
    assert environment(service.template.containers[0]) == {
        "HELIOSTAT_ARTIFACTS": f"gs://{BUCKET}",
        "HELIOSTAT_AUDIENCE": audience,
        "HELIOSTAT_CALLERS": f"{COORDINATOR},{EMAIL},ann@example.com",
        "HELIOSTAT_SLOTS": "1",
    }
    assert list(service.custom_audiences) == [audience]
    assert (service.template.max_instance_request_concurrency, service.template.scaling.max_instance_count) == (1, 100)
    assert (service.ingress.name, service.invoker_iam_disabled) == ("INGRESS_TRAFFIC_ALL", False)
    assert environment(job.template.template.containers[0]) == {"HELIOSTAT_ARTIFACTS": f"gs://{BUCKET}"}
    assert (job.template.template.max_retries, job.template.parallelism) == (0, 0)
    for template in (service.template, job.template.template):
        assert template.service_account == WORKER
        assert template.containers[0].image == IMAGE
        assert dict(template.containers[0].resources.limits) == {"cpu": "2", "memory": "4096Mi"}


def test_everybody_may_what_is_needed_on_the_one_resource_and_no_more(google: Google, heliostat: Heliostat) -> None:
    assert heliostat(*DEPLOY, "--caller", "ann@example.com").status == 0
    coordinators = {f"serviceAccount:{COORDINATOR}", "user:ann@example.com"}
    assert google.policy("services") == {"roles/run.invoker": coordinators, "roles/run.viewer": coordinators}
    assert google.policy("jobs") == {
        "roles/run.jobsExecutorWithOverrides": coordinators,
        "roles/run.viewer": coordinators,
    }
    assert google.bucket_policy == {
        "roles/storage.legacyBucketOwner": {"projectEditor:studio"},  # as Google makes every bucket
        "roles/storage.objectUser": {*coordinators, f"serviceAccount:{WORKER}"},
    }
    policy = google.project.accounts[COORDINATOR].policy
    assert policy["bindings"] == [{"role": "roles/iam.serviceAccountTokenCreator", "members": ["user:ann@example.com"]}]
    assert "bindings" not in google.project.accounts[WORKER].policy


def test_the_bucket_is_private_and_forgets_messages(deployed: Google) -> None:
    bucket = deployed.buckets.kept[BUCKET].resource
    assert bucket["location"] == "EUROPE-WEST1"
    assert bucket["labels"] == {"heliostat": "heliostat"}
    assert bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"] is True
    assert bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert bucket["softDeletePolicy"]["retentionDurationSeconds"] == "0"
    assert bucket["lifecycle"]["rule"] == [
        {"action": {"type": "Delete"}, "condition": {"daysSinceCustomTime": 7}},
        {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 2}},
    ]


def test_what_would_be_made_is_shown_then_each_resource_once_then_what_is_next(
    google: Google, heliostat: Heliostat
) -> None:
    made = heliostat(*DEPLOY)
    lines = made.out.splitlines()
    assert lines[0] == f"{TITLE} would be made:"
    assert re.search(r"^  add     service +heliostat$", made.out, re.MULTILINE)
    assert f"            roles/run.invoker: + serviceAccount:{COORDINATOR}" in lines
    done = [line for line in lines if line.startswith(("  created", "  granted"))]
    assert done == [
        f"  created  service account {WORKER}",
        f"  created  service account {COORDINATOR}",
        f"  created  bucket gs://{BUCKET}",
        f"  granted  who may use bucket gs://{BUCKET}",
        "  created  service heliostat",
        "  granted  who may use service heliostat",
        "  created  job heliostat",
        "  granted  who may use job heliostat",
    ]
    assert f"{TITLE} is ready:" in lines
    where = f"--set project=studio --set region=europe-west1 --set endpoint={google.run.endpoint}"
    assert lines[-2:] == [
        f"  heliostat render job.toml --worker gcp-cloud-run --set service=heliostat {where}",
        f"  heliostat render job.toml --worker gcp-cloud-run-jobs --set job=heliostat {where}",
    ]


def test_a_deployment_that_is_as_it_should_be_is_left_alone(deployed: Google, heliostat: Heliostat) -> None:
    before = deployed.run.admin.calls.copy()
    for arguments in (("--image", IMAGE, "--caller", EMAIL), ()):
        again = heliostat("deploy", *arguments, "--yes")
        assert (again.status, again.err) == (0, "")
        assert again.out == f"{TITLE} is as it should be; there is nothing to change.\n"
    assert {name for name, _ in (deployed.run.admin.calls - before).items()} <= {
        *("GetService", "GetJob", "GetIamPolicy")
    }


def test_an_update_shows_each_field_changes_what_is_given_and_keeps_the_rest(
    deployed: Google, heliostat: Heliostat
) -> None:
    changed = heliostat("deploy", "--memory", 8192, "--parameter", "TaskTimeoutSeconds=600", "--yes")
    assert (changed.status, changed.err) == (0, "")
    lines = changed.out.splitlines()
    assert lines[0] == f"{TITLE} would change:"
    assert "            template.containers[0].resources.limits.memory: 4096Mi -> 8192Mi" in lines
    assert "            template.template.timeout: 86400s -> 600s" in lines
    assert not [line for line in lines if "bucket" in line and "change" in line]
    assert heliostat("deploy", "--timeout", 60, "--yes").status == 0
    for template in (deployed.service.template, deployed.job.template.template):
        assert template.containers[0].resources.limits["memory"] == "8192Mi"
        assert template.containers[0].image == IMAGE
    assert deployed.service.template.timeout.total_seconds() == 60
    assert deployed.job.template.template.timeout.total_seconds() == 600
    assert deployed.service.template.containers[0].ports[0].container_port == 8080  # which Cloud Run has filled in


def test_parameters_are_kept_that_only_the_bucket_or_the_names_show(google: Google, heliostat: Heliostat) -> None:
    assert heliostat(*DEPLOY, "--parameter", "BucketName=films-of-ann", "--caller", EMAIL).status == 0
    assert heliostat("deploy", "--parameter", "ArtifactExpiryDays=30", "--yes").status == 0
    assert "nothing to change" in heliostat("deploy", "--yes").out
    assert set(google.buckets.kept) == {"films-of-ann"}
    assert google.buckets.kept["films-of-ann"].resource["lifecycle"]["rule"][2] == {
        "action": {"type": "Delete"},
        "condition": {"age": 30},
    }
    shown = heliostat("deploy", "--parameter", "ArtifactExpiryDays=0", "--yes").out
    gone = '            lifecycle.rule[2]: {"action": {"type": "Delete"}, "condition": {"age": 30}} -> nothing'
    assert gone in shown.splitlines()
    assert len(google.buckets.kept["films-of-ann"].resource["lifecycle"]["rule"]) == 2


def test_a_caller_who_is_no_more_named_may_nothing_any_more(deployed: Google, heliostat: Heliostat) -> None:
    changed = heliostat("deploy", "--caller", "ann@example.com", "--yes")
    assert f"            roles/run.invoker: - serviceAccount:{EMAIL}" in changed.out.splitlines()
    everyone = [*deployed.policy("services").values(), *deployed.policy("jobs").values()]
    everyone += deployed.bucket_policy.values()
    everyone += [set(each["members"]) for each in deployed.project.accounts[COORDINATOR].policy["bindings"]]
    assert not [members for members in everyone if f"serviceAccount:{EMAIL}" in members]
    assert "ann@example.com" in environment(deployed.service.template.containers[0])["HELIOSTAT_CALLERS"]
    assert EMAIL not in environment(deployed.service.template.containers[0])["HELIOSTAT_CALLERS"]


def test_what_others_have_changed_is_shown_and_mended_and_what_the_template_leaves_open_stays(
    deployed: Google, heliostat: Heliostat
) -> None:
    from google.cloud import run_v2
    from google.iam.v1 import policy_pb2

    service, policies = deployed.service, deployed.run.resources.policies
    service.invoker_iam_disabled = True
    service.template.vpc_access.connector = "studio"
    service.template.revision = "heliostat-by-hand"
    service.template.containers[0].env.append(run_v2.EnvVar(name="MINE", value="1"))
    deployed.job.template.template.max_retries = 3
    expiring = policy_pb2.Binding(role="roles/run.invoker", members=["user:tmp@example.com"])
    expiring.condition.expression = "request.time < timestamp('2030-01-01T00:00:00Z')"
    others = [
        policy_pb2.Binding(role="roles/run.invoker", members=["allUsers"]),
        policy_pb2.Binding(role="roles/run.developer", members=["user:dev@example.com"]),
        expiring,
    ]
    policies[service.name].bindings.extend(others)
    mended = heliostat("deploy", "--yes")
    assert (mended.status, mended.err) == (0, "")
    for line in (
        "invokerIamDisabled: true -> false",
        'template.containers[0].env[MINE]: {"name": "MINE", "value": "1"} -> nothing',
        "template.template.maxRetries: 3 -> 0",
        "roles/run.invoker: - allUsers",
    ):
        assert f"            {line}" in mended.out.splitlines()
    assert not deployed.service.invoker_iam_disabled
    assert deployed.service.template.vpc_access.connector == "studio"
    assert deployed.service.template.revision == ""
    bindings = policies[service.name].bindings
    assert [each.role for each in bindings if "user:dev@example.com" in each.members] == ["roles/run.developer"]
    assert [each.condition.expression for each in bindings if each.condition.expression] == [
        expiring.condition.expression
    ]
    assert "nothing to change" in heliostat("deploy", "--yes").out


@pytest.mark.parametrize("answer", ["n\n", ""], ids=["no", "end of input"])
def test_a_no_changes_nothing(answer: str, google: Google, heliostat: Heliostat) -> None:
    refused = heliostat("deploy", "--image", IMAGE, answer=answer)
    assert refused.status == 1
    assert "Go ahead? [y/N]:" in refused.out
    assert refused.out.endswith("Nothing was changed.\n")
    assert (google.service, google.job, google.buckets.kept) == (None, None, {})
    assert set(google.project.accounts) == {EMAIL}


def test_a_yes_is_enough(google: Google, heliostat: Heliostat) -> None:
    assert heliostat("deploy", "--image", IMAGE, answer="y\n").status == 0


def test_without_a_terminal_nobody_is_asked(google: Google, heliostat: Heliostat) -> None:
    refused = heliostat("deploy", "--image", IMAGE)
    assert refused.status == 2
    assert refused.err == "heliostat: error: there is nobody to ask whether to change the deployment; add --yes\n"
    assert google.used == set()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "there is no service 'heliostat' in europe-west1 of studio yet, and a new one needs --image URI"),
        (("--parameter", "Memory=1"), "the template has no parameter 'Memory'; it has: ImageUri, MemoryMb"),
        (("--parameter", "MemoryMb=64"), "MemoryMb cannot be '64'; it has to be a whole number from 512 to 32768"),
        (("--parameter", "MemoryMb"), "'MemoryMb' is no parameter; write KEY=VALUE"),
        (("--cpus", "3"), "Cpus cannot be '3'; it has to be one of 1, 2, 4, 6, 8"),
        (("--image", ""), "ImageUri cannot be ''; it has to be something"),
        (("--caller", "ann"), "Callers cannot be 'ann'; it has to be like "),
        (("--timeout", "4000"), "Invalid value for '--timeout'"),
        (("--name", "Film"), "'Film' cannot name a deployment: use up to 18 lower-case letters"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    arguments: tuple[str, ...], sentence: str, google: Google, heliostat: Heliostat
) -> None:
    refused = heliostat("deploy", "--yes", *arguments)
    assert refused.status == 2
    assert sentence in " ".join(refused.err.replace("│", "").split())
    assert (google.service, google.buckets.kept) == (None, {})


# --- names that are taken --------------------------------------------------------------------------------------------


def stranger_service(google: Google) -> None:
    google.run.add_service("heliostat", {})


def stranger_job(google: Google) -> None:
    google.run.add_job("heliostat", {})


def stranger_account(google: Google) -> None:
    google.project.accounts[WORKER] = type(google.project.accounts[EMAIL])({"email": WORKER, "description": "mine"}, {})


def bucket_of(number: str) -> Callable[[Google], None]:
    def make(google: Google) -> None:
        google.buckets.kept[BUCKET] = _kept(number)

    return make


def _kept(number: str) -> Any:
    from fake_buckets import Kept

    return Kept({"projectNumber": number, "location": "EU", "metageneration": "1"}, {"etag": "1"})


def bucket_that_may_not_be_seen(google: Google) -> None:
    google.buckets.strangers.add(BUCKET)


@pytest.mark.parametrize(
    ("take", "sentence"),
    [
        (stranger_service, "there is a service heliostat already, which this deployment has not made; choose another"),
        (
            stranger_job,
            "there is a job heliostat already, which this deployment has not made; choose another name with",
        ),
        (stranger_account, f"there is a service account {WORKER} already, which this deployment has not made; choose"),
        (bucket_of("123456789012"), f"there is a bucket gs://{BUCKET} already, which this deployment has not made;"),
        (
            bucket_of("1"),
            f"bucket gs://{BUCKET} belongs to another project; choose another with --parameter BucketName",
        ),
        (bucket_that_may_not_be_seen, f"bucket gs://{BUCKET} is somebody else's, or the caller may not look at it;"),
    ],
    ids=["service", "job", "account", "own bucket", "bucket of another project", "bucket of somebody else"],
)
def test_a_name_that_is_taken_is_left_to_whoever_has_it(
    take: Callable[[Google], None],
    sentence: str,
    google: Google,
    heliostat: Heliostat,
    request: pytest.FixtureRequest,
) -> None:
    take(google)
    before = (set(google.project.accounts), google.service, google.job)
    refused = heliostat(*DEPLOY)
    google.buckets.kept.clear()
    assert refused.status == 1
    assert refused.err.startswith(f"heliostat: error: {sentence}")
    assert refused.err.count("\n") == 1
    assert (set(google.project.accounts), google.service, google.job) == before


def test_the_same_name_in_another_region_is_taken_by_its_accounts(deployed: Google, heliostat: Heliostat) -> None:
    refused = heliostat(*DEPLOY, "--region", "us-central1")
    assert refused.status == 1
    assert f"there is a service account {WORKER} already, which this deployment has not made" in refused.err


def test_a_bucket_cannot_be_moved(google: Google, heliostat: Heliostat) -> None:
    assert heliostat(*DEPLOY, "--parameter", "BucketName=films-of-ann").status == 0
    google.buckets.kept["films-of-ann"].resource["location"] = "US"
    refused = heliostat("deploy", "--yes")
    assert refused.status == 1
    assert "bucket gs://films-of-ann lies in us, and cannot be moved to europe-west1; choose another" in refused.err


# --- it takes time ---------------------------------------------------------------------------------------------------


def test_operations_are_followed_to_their_end(google: Google, heliostat: Heliostat) -> None:
    google.run.admin.slow = 3
    looks = google.run.admin.calls["GetOperation"]
    assert heliostat(*DEPLOY).status == 0
    assert google.run.admin.calls["GetOperation"] == looks + 6


def test_no_longer_watching_leaves_the_rest_to_the_next_time(
    google: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    google.run.admin.slow = 2
    with monkeypatch.context() as patch:
        patch.setattr(operations.time, "sleep", interrupted)
        stopped = heliostat(*DEPLOY)
    assert stopped.status == 1
    assert stopped.err.startswith(
        "heliostat: error: Google goes on with service heliostat without being watched; run the same command again in a"
        f" while; done so far: service account {WORKER}, service account {COORDINATOR}, bucket gs://{BUCKET}\n"
    )
    assert heliostat(*DEPLOY).status == 0
    assert google.job is not None


def test_a_change_that_somebody_else_is_at_is_waited_for_by_the_user(deployed: Google, heliostat: Heliostat) -> None:
    deployed.service.reconciling = True
    refused = heliostat("deploy", "--memory", 512, "--yes")
    assert refused.status == 1
    assert (
        "service heliostat is being changed already; wait until `heliostat gcp status --name heliostat`" in refused.err
    )


@pytest.mark.parametrize("times", [1, 3])
def test_accounts_that_google_has_not_heard_of_everywhere_are_waited_for(
    times: int, google: Google, heliostat: Heliostat
) -> None:
    google.project.slow_to_settle = times
    made = heliostat(*DEPLOY, "--caller", EMAIL)
    assert (made.status, made.err) == (0, "")
    waits = [line for line in made.out.splitlines() if line.startswith("  waiting until ")]
    assert f"  waiting until {COORDINATOR} is known everywhere" in waits
    assert len(waits) < 6  # told once, however often it is tried


def test_an_account_that_google_does_not_hear_of_is_not_waited_for_for_ever(
    google: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "PATIENCE", 0.05)
    google.project.slow_to_settle = 1_000_000
    failed = heliostat(*DEPLOY)
    assert failed.status == 1
    assert "does not exist; correct what it names; then run the same command again; done so far: " in failed.err
    assert failed.err.count("\n") == 1


def test_a_policy_that_somebody_changes_meanwhile_is_read_again(
    google: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle(name: str) -> None:
        kept = google.buckets.kept[name]
        if len(kept.policy["bindings"]) == 1:
            dev = {"role": "roles/storage.objectViewer", "members": ["user:dev@example.com"]}
            kept.policy = {**kept.policy, "etag": "2", "bindings": [*kept.policy["bindings"], dev]}

    google.buckets.before_policy = meddle
    assert heliostat(*DEPLOY).status == 0
    assert google.bucket_policy["roles/storage.objectViewer"] == {"user:dev@example.com"}
    assert f"serviceAccount:{WORKER}" in google.bucket_policy["roles/storage.objectUser"]


def test_a_policy_that_somebody_keeps_changing_is_given_up(google: Google, heliostat: Heliostat) -> None:
    times = []

    def meddle(name: str) -> None:
        times.append(name)
        google.buckets.kept[name].policy = {**google.buckets.kept[name].policy, "etag": str(len(times))}

    google.buckets.before_policy = meddle
    failed = heliostat(*DEPLOY)
    assert failed.status == 1
    assert len(times) == 5
    assert "try again, somebody else has changed it; then run the same command again; done so far: " in failed.err
    assert failed.err.count("\n") == 1


def test_google_may_be_busy_for_a_moment(google: Google, heliostat: Heliostat) -> None:
    google.project.unavailable = 2
    assert heliostat(*DEPLOY).status == 0


# --- failures half-way -----------------------------------------------------------------------------------------------


def test_an_image_that_is_missing_is_named_and_tried_again_once_it_is_there(
    google: Google, heliostat: Heliostat
) -> None:
    google.run.admin.missing_images.add(IMAGE)
    google.run.admin.slow = 1
    failed = heliostat(*DEPLOY)
    assert failed.status == 1
    assert failed.err == (
        f"heliostat: error: service heliostat: Revision is not ready and cannot serve traffic. Image '{IMAGE}' not"
        " found; push the worker image to where --image says, and let Cloud Run in this project fetch it; then run the"
        f" same command again; done so far: service account {WORKER}, service account {COORDINATOR}, bucket"
        f" gs://{BUCKET}\n"
    )
    assert google.job is None
    google.run.admin.missing_images.clear()
    again = heliostat("deploy", "--yes")
    assert (again.status, again.err) == (0, "")
    assert f"            to be tried again: Image '{IMAGE}' not found" in again.out.splitlines()
    assert google.service.terminal_condition.state.name == CONDITION
    assert google.policy("services")
    assert google.job is not None
    assert "nothing to change" in heliostat("deploy", "--yes").out


@pytest.mark.parametrize(
    ("permission", "what"),
    [
        ("iam.serviceAccounts.create", f"service account {WORKER}"),
        ("storage.buckets.create", f"bucket gs://{BUCKET}"),
        ("storage.buckets.setIamPolicy", f"bucket gs://{BUCKET}"),
        ("run.services.create", "service heliostat"),
        ("run.services.setIamPolicy", "service heliostat"),
        ("run.jobs.create", "job heliostat"),
        ("run.jobs.setIamPolicy", "job heliostat"),
    ],
)
def test_what_the_caller_may_not_do_ends_it_there_and_the_next_time_goes_on_from_there(
    permission: str, what: str, google: Google, heliostat: Heliostat
) -> None:
    google.deny(permission)
    failed = heliostat(*DEPLOY)
    assert failed.status == 1
    assert failed.err.startswith(f"heliostat: error: {what}: Permission '{permission}' denied on resource (or ")
    assert "; `heliostat gcp policy --for deployer` prints what the caller needs to be allowed; then run" in failed.err
    assert failed.err.count("\n") == 1
    google.project.denied.clear()
    google.run.admin.denied.clear()
    again = heliostat(*DEPLOY)
    assert (again.status, again.err) == (0, "")
    assert "nothing to change" in heliostat(*DEPLOY).out


def test_who_may_not_act_as_the_worker_is_told_so(
    google: Google, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.deny("iam.serviceAccounts.actAs")
    failed = heliostat(*DEPLOY)
    assert failed.status == 1
    assert "give the caller the role Service Account User (roles/iam.serviceAccountUser) on that account" in failed.err


def test_memory_and_cpus_that_do_not_go_together_are_named(google: Google, heliostat: Heliostat) -> None:
    failed = heliostat(*DEPLOY, "--memory", 16384)
    assert failed.status == 1
    assert "For 2 CPU, memory must be at most 8Gi; give --memory and --cpus that go together; then run" in failed.err


def test_an_account_that_is_switched_off_is_switched_on(deployed: Google, heliostat: Heliostat) -> None:
    deployed.project.accounts[WORKER].resource["disabled"] = True
    mended = heliostat("deploy", "--yes")
    assert "            to be tried again: it is switched off" in mended.out.splitlines()
    assert "disabled" not in deployed.project.accounts[WORKER].resource


# --- the project -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", ["run.googleapis.com", "iam.googleapis.com", "storage.googleapis.com"])
def test_an_api_that_is_switched_off_is_named(api: str, google: Google, heliostat: Heliostat) -> None:
    google.project.enabled.remove(api)
    refused = heliostat(*DEPLOY)
    assert refused.status == 1
    assert refused.err == (
        f"heliostat: error: project studio has {api} switched off; switch them on with `gcloud services enable {api}"
        " --project studio`, and try again in a few minutes\n"
    )
    assert google.service is None


def test_another_name_has_a_bucket_and_accounts_of_its_own(google: Google, heliostat: Heliostat) -> None:
    made = heliostat(*DEPLOY, "--region", "us-central1", "--name", "farm")
    assert (made.status, made.err) == (0, "")
    assert set(google.buckets.kept) == {"farm-123456789012-us-central1"}
    assert REGION not in google.buckets.kept["farm-123456789012-us-central1"].resource["location"].lower()
    assert "farm-worker@studio.iam.gserviceaccount.com" in google.project.accounts
