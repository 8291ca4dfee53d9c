"""`heliostat gcp destroy` removes what was made, and the bucket only when it is told to."""

from __future__ import annotations

from typing import Any

import pytest
from fake_cloud_run.resources import RunningExecution
from google.cloud import run_v2
from google_accounts import EMAIL

from .conftest import BUCKET, COORDINATOR, IMAGE, PLACE, WORKER, Google, Heliostat

TITLE = "Deployment heliostat in europe-west1 of studio"


def store(gcs: Any, key: str, content: bytes = b"film") -> None:
    gcs.bucket(BUCKET).blob(key).upload_from_string(content)


def test_the_bucket_stays_with_what_is_in_it(deployed: Google, heliostat: Heliostat, gcs: Any) -> None:
    store(gcs, "jobs/j1/film.mp4")
    removed = heliostat("destroy", "--yes")
    assert (removed.status, removed.err) == (0, "")
    assert removed.out.splitlines() == [
        f"{TITLE} would be removed:",
        "  remove job heliostat",
        "  remove service heliostat",
        f"  keep, with what is in it, bucket gs://{BUCKET}",
        f"  remove service account {COORDINATOR}",
        f"  remove service account {WORKER}",
        "  removed  job heliostat",
        "  removed  service heliostat",
        f"  kept     bucket gs://{BUCKET}",
        f"  removed  service account {COORDINATOR}",
        f"  removed  service account {WORKER}",
        f"{TITLE} is removed.",
        f"Bucket gs://{BUCKET} is kept; `gcloud storage rm --recursive gs://{BUCKET}` deletes it with all in it.",
    ]
    assert (deployed.service, deployed.job, set(deployed.project.accounts)) == (None, None, {EMAIL})
    assert gcs.bucket(BUCKET).blob("jobs/j1/film.mp4").download_as_bytes() == b"film"
    members = deployed.bucket_policy["roles/storage.objectUser"]
    assert members == {f"serviceAccount:{EMAIL}"}  # whoever has films there can still fetch them


def test_the_bucket_goes_with_all_that_is_in_it(deployed: Google, heliostat: Heliostat, gcs: Any) -> None:
    for number in range(120):  # more than are deleted in one request
        store(gcs, f"jobs/j1/{number}", b"")
    removed = heliostat("destroy", "--yes", "--delete-artifacts")
    assert (removed.status, removed.err) == (0, "")
    assert f"  delete, with everything in it, bucket gs://{BUCKET}\n" in removed.out
    assert f"  removed  bucket gs://{BUCKET}\n" in removed.out
    assert deployed.buckets.kept == {}
    assert deployed.buckets.count("batch") == 2


def test_executions_that_run_are_told_of_and_ended(deployed: Google, heliostat: Heliostat) -> None:
    name = f"{PLACE}/jobs/heliostat/executions/heliostat-abcde"
    execution = RunningExecution(run_v2.Execution(name=name, task_count=3), [], {})
    deployed.run.resources.executions[name] = execution
    removed = heliostat("destroy", "--yes")
    assert (removed.status, removed.err) == (0, "")
    lines = removed.out.splitlines()
    assert "  1 executions of job heliostat are running, and would be ended" in lines
    assert lines.index("  ended    execution heliostat-abcde") < lines.index("  removed  job heliostat")
    assert execution.cancelled


def test_a_no_removes_nothing(deployed: Google, heliostat: Heliostat) -> None:
    refused = heliostat("destroy", "--delete-artifacts", answer="n\n")
    assert refused.status == 1
    assert refused.out.endswith("Nothing was removed.\n")
    assert deployed.service is not None
    assert set(deployed.buckets.kept) == {BUCKET}
    assert {WORKER, COORDINATOR} < set(deployed.project.accounts)


def test_without_a_terminal_nobody_is_asked(deployed: Google, heliostat: Heliostat) -> None:
    refused = heliostat("destroy")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == "heliostat: error: there is nobody to ask whether to remove the deployment; add --yes\n"


def test_what_was_not_made_to_the_end_is_removed_too(google: Google, heliostat: Heliostat) -> None:
    google.deny("run.services.create")
    assert heliostat("deploy", "--image", IMAGE, "--yes").status == 1
    removed = heliostat("destroy", "--yes", "--delete-artifacts")
    assert (removed.status, removed.err) == (0, "")
    assert (google.buckets.kept, set(google.project.accounts)) == ({}, {EMAIL})


@pytest.mark.parametrize(
    ("permission", "what"),
    [
        ("run.jobs.delete", "job heliostat"),
        ("run.services.delete", "service heliostat"),
        ("storage.buckets.delete", f"bucket gs://{BUCKET}"),
        ("iam.serviceAccounts.delete", f"service account {COORDINATOR}"),
    ],
)
def test_a_removal_that_fails_names_what_stands_in_the_way_and_can_be_gone_on_with(
    permission: str, what: str, deployed: Google, heliostat: Heliostat
) -> None:
    deployed.deny(permission)
    failed = heliostat("destroy", "--yes", "--delete-artifacts")
    assert failed.status == 1
    assert failed.err.startswith(f"heliostat: error: {what}: ")
    assert failed.err.endswith("`heliostat gcp policy --for deployer` prints what the caller needs to be allowed\n")
    deployed.project.denied.clear()
    deployed.run.admin.denied.clear()
    assert heliostat("destroy", "--yes", "--delete-artifacts").status == 0
    assert (deployed.service, deployed.job, deployed.buckets.kept) == (None, None, {})


def test_objects_that_cannot_be_deleted_are_told_of(deployed: Google, heliostat: Heliostat, gcs: Any) -> None:
    store(gcs, "jobs/j1/film.mp4")
    deployed.buckets.refuse = lambda path: 403
    failed = heliostat("destroy", "--yes", "--delete-artifacts")
    assert failed.status == 1
    assert f"gs://{BUCKET}".replace("gs", "gcs") in failed.err
    assert failed.err.count("\n") == 1
    assert set(deployed.buckets.kept) == {BUCKET}


def test_older_versions_are_left_to_gcloud(deployed: Google, heliostat: Heliostat, gcs: Any) -> None:
    store(gcs, "jobs/j1/film.mp4")
    deployed.buckets.refuse = lambda path: 404  # the object is gone, and still there
    failed = heliostat("destroy", "--yes", "--delete-artifacts")
    assert failed.status == 1
    assert failed.err == (
        f"heliostat: error: bucket gs://{BUCKET} is not empty yet; run `gcloud storage rm --recursive gs://{BUCKET}`,"
        " which deletes older versions too\n"
    )


def test_what_was_removed_can_be_made_again_around_the_bucket_that_was_kept(
    deployed: Google, heliostat: Heliostat, gcs: Any
) -> None:
    store(gcs, "jobs/j1/film.mp4")
    assert heliostat("destroy", "--yes").status == 0
    made = heliostat("deploy", "--image", IMAGE, "--yes")
    assert (made.status, made.err) == (0, "")
    assert "  change  bucket " in made.out
    assert f"serviceAccount:{WORKER}" in deployed.bucket_policy["roles/storage.objectUser"]
    assert gcs.bucket(BUCKET).blob("jobs/j1/film.mp4").exists()


def test_what_somebody_else_made_under_the_name_stays(deployed: Google, heliostat: Heliostat) -> None:
    deployed.job.labels.pop("heliostat")
    assert heliostat("destroy", "--yes").status == 0
    assert deployed.service is None
    assert deployed.job is not None
