"""`heliostat aws destroy` removes the stack, and the bucket only when it is told to."""

from __future__ import annotations

import boto3
import pytest
from botocore.client import BaseClient
from moto.cloudformation.models import CloudFormationBackend, Stack

from .conftest import ACCOUNT, IMAGE, REGION, Heliostat, resource_event


def buckets() -> list[str]:
    return [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]


def stacks_left() -> list[str]:
    return [stack["StackName"] for stack in boto3.client("cloudformation").describe_stacks()["Stacks"]]


def test_the_bucket_stays_with_what_is_in_it(deployed: dict[str, str], heliostat: Heliostat) -> None:
    bucket, s3 = deployed["BucketName"], boto3.client("s3")
    s3.put_object(Bucket=bucket, Key="jobs/j1/film.mp4", Body=b"film")
    removed = heliostat("destroy", "--yes")
    assert (removed.status, removed.err) == (0, "")
    assert removed.out.splitlines() == [
        (
            f"Stack heliostat in eu-west-1 would be removed. Bucket {bucket} would be kept, with what is in it"
            " (--delete-artifacts deletes it)."
        ),
        "Stack heliostat is removed.",
        f"Bucket {bucket} is kept; `aws s3 rb --force s3://{bucket}` deletes it with all that is in it.",
    ]
    assert stacks_left() == []
    assert boto3.client("lambda").list_functions()["Functions"] == []
    assert s3.get_object(Bucket=bucket, Key="jobs/j1/film.mp4")["Body"].read() == b"film"


def test_the_bucket_goes_with_all_its_objects_and_their_versions(
    deployed: dict[str, str], heliostat: Heliostat
) -> None:
    bucket, s3 = deployed["BucketName"], boto3.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(1010):  # more than a page
        s3.put_object(Bucket=bucket, Key=f"jobs/j1/{number}", Body=b"")
    s3.put_object(Bucket=bucket, Key="jobs/j1/0", Body=b"again")
    s3.delete_object(Bucket=bucket, Key="jobs/j1/1")
    removed = heliostat("destroy", "--yes", "--delete-artifacts")
    assert (removed.status, removed.err) == (0, "")
    assert f"Bucket {bucket} would be deleted, with everything in it." in removed.out
    assert f"  removed  bucket {bucket}\n" in removed.out
    assert buckets() == []


def test_the_queues_of_its_coordinators_go_and_those_of_others_stay(
    deployed: dict[str, str], heliostat: Heliostat
) -> None:
    sqs = boto3.client("sqs")
    for name in ("heliostat-replies-a", "heliostat-replies-b", "heliostat-2-replies-a"):
        sqs.create_queue(QueueName=name)
    assert "  removed  2 queues of coordinators\n" in heliostat("destroy", "--yes").out
    assert [url.rpartition("/")[2] for url in sqs.list_queues()["QueueUrls"]] == ["heliostat-2-replies-a"]


def test_a_no_removes_nothing(deployed: dict[str, str], heliostat: Heliostat) -> None:
    refused = heliostat("destroy", "--delete-artifacts", answer="n\n")
    assert refused.status == 1
    assert refused.out.endswith("Nothing was removed.\n")
    assert stacks_left() == ["heliostat"]
    assert buckets() == [deployed["BucketName"]]


def test_without_a_terminal_nobody_is_asked(deployed: dict[str, str], heliostat: Heliostat) -> None:
    refused = heliostat("destroy")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == "heliostat: error: there is nobody to ask whether to remove the stack; add --yes\n"
    assert stacks_left() == ["heliostat"]


def test_a_stack_that_was_not_made_to_the_end_is_removed_too(
    deployed: dict[str, str], heliostat: Heliostat, stacks: dict[str, Stack]
) -> None:
    stacks["heliostat"].status = "ROLLBACK_COMPLETE"
    stacks["heliostat"].output_map = type(stacks["heliostat"].output_map)(
        stacks["heliostat"].resource_map, {"Outputs": {}}, stacks["heliostat"].stack_id
    )
    assert heliostat("destroy", "--yes", "--delete-artifacts").status == 0
    assert (stacks_left(), buckets()) == ([], [])


def test_a_removal_that_fails_names_what_stands_in_the_way(
    deployed: dict[str, str], heliostat: Heliostat, stacks: dict[str, Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(backend: CloudFormationBackend, name_or_stack_id: str) -> None:
        stack = backend.get_stack(name_or_stack_id)
        stack._add_stack_event("DELETE_IN_PROGRESS")
        kept, policy = ("Artifacts", "AWS::S3::Bucket"), ("CoordinatorPolicy", "AWS::IAM::ManagedPolicy")
        stack.events.append(resource_event(stack, *kept, "DELETE_SKIPPED"))
        stack.events.append(
            resource_event(stack, *policy, "DELETE_FAILED", "Cannot delete a policy attached to users.")
        )
        stack._add_stack_event("DELETE_FAILED")

    monkeypatch.setattr(CloudFormationBackend, "delete_stack", delete)
    failed = heliostat("destroy", "--yes", "--delete-artifacts")
    assert failed.status == 1
    assert "  kept  Artifacts  (AWS::S3::Bucket)\n" in failed.out
    assert failed.err == (
        "heliostat: error: stack heliostat could not be removed (DELETE_FAILED, because of CoordinatorPolicy: Cannot"
        " delete a policy attached to users); mend that and try again\n"
    )
    assert buckets() == [deployed["BucketName"]]


def test_a_bucket_that_cannot_be_emptied_is_told_of(
    deployed: dict[str, str], heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = deployed["BucketName"]
    boto3.client("s3").put_object(Bucket=bucket, Key="jobs/j1/film.mp4", Body=b"film")
    call = BaseClient._make_api_call

    def locked(client: BaseClient, operation: str, parameters: object) -> object:
        if operation == "DeleteObjects":
            return {"Errors": [{"Key": "jobs/j1/film.mp4", "Code": "AccessDenied", "Message": "Access Denied"}]}
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", locked)
    failed = heliostat("destroy", "--yes", "--delete-artifacts")
    assert failed.status == 1
    assert f"bucket {bucket} cannot be emptied (jobs/j1/film.mp4: Access Denied)" in failed.err
    assert buckets() == [bucket]


def test_a_stack_that_was_removed_can_be_made_again_beside_the_bucket_that_was_kept(
    deployed: dict[str, str], heliostat: Heliostat
) -> None:
    heliostat("destroy", "--yes")
    iam = boto3.client("iam")
    iam.delete_policy(PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/heliostat-coordinator-{REGION}")  # moto forgets to
    assert heliostat("deploy", "--image", IMAGE, "--yes").status == 0
    assert len(buckets()) == 2
