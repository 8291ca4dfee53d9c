"""`heliostat aws status` tells what is there, and does without what AWS does not tell."""

from __future__ import annotations

import re
import time
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.cloudformation.models import Stack
from moto.sqs.models import sqs_backends

from .conftest import ACCOUNT, IMAGE, REGION, Heliostat


def test_json_has_all_of_it(deployed: dict[str, str], heliostat: Heliostat) -> None:
    boto3.client("s3").put_object(Bucket=deployed["BucketName"], Key="jobs/j1/film.mp4", Body=b"film")
    boto3.client("sqs").create_queue(QueueName="heliostat-replies-a")
    told = heliostat("status", "--json")
    assert (told.status, told.err) == (0, "")
    assert told.json == {
        "stack": {"name": "heliostat", "region": REGION, "state": "CREATE_COMPLETE", "reason": None},
        "outputs": deployed,
        "function": {
            "state": "Active",
            "stateReason": None,
            "lastUpdate": "Successful",
            "lastUpdateReason": None,
            "image": IMAGE,
            "memoryMb": 3008,
            "timeoutSeconds": 900,
            "storageMb": 512,  # moto drops the template's
        },
        "concurrency": {"reserved": None, "limit": None, "unreserved": None},  # moto has no account settings
        "bucket": {"name": deployed["BucketName"], "objects": 1, "more": False},
        "queues": {"inUse": ["heliostat-replies-a"], "abandoned": []},
    }


def test_people_read_a_line_of_each(deployed: dict[str, str], heliostat: Heliostat) -> None:
    told = heliostat("status")
    assert (told.status, told.err) == (0, "")
    for line in (
        r"stack        heliostat in eu-west-1: CREATE_COMPLETE",
        rf"function     Active, last update Successful; 3008 MB, 900 s, 512 MB in /tmp; image {re.escape(IMAGE)}",
        r"concurrency  none reserved; the account's limit is unknown",
        r"bucket       heliostat-artifacts-\w+: 0 objects",
        r"queues       0 of running coordinators",
        r"  FunctionName      heliostat-worker",
    ):
        assert re.search(f"^{line}$", told.out, re.MULTILINE), line


def test_concurrency_that_is_reserved_and_what_the_account_may_have(
    deployed: dict[str, str], heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto cannot say what an account may have."""
    call = BaseClient._make_api_call

    def with_settings(client: BaseClient, operation: str, parameters: object) -> Any:
        if operation == "GetAccountSettings":
            return {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}}
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", with_settings)
    boto3.client("lambda").put_function_concurrency(FunctionName="heliostat-worker", ReservedConcurrentExecutions=100)
    told = heliostat("status")
    assert "concurrency  100 reserved; the account's limit is 1000, 900 of it unreserved\n" in told.out


def test_queues_that_dead_coordinators_left(deployed: dict[str, str], heliostat: Heliostat) -> None:
    for name in ("heliostat-replies-dead", "heliostat-replies-alive"):
        boto3.client("sqs").create_queue(QueueName=name)
    sqs_backends[ACCOUNT][REGION].queues["heliostat-replies-dead"].created_timestamp = time.time() - 2 * 86_400
    assert heliostat("status", "--json").json["queues"] == {
        "inUse": ["heliostat-replies-alive"],
        "abandoned": ["heliostat-replies-dead"],
    }
    assert "1 of running coordinators, 1 left behind by dead coordinators" in heliostat("status").out


def test_many_objects_are_not_counted_to_the_end(deployed: dict[str, str], heliostat: Heliostat) -> None:
    s3 = boto3.client("s3")
    for number in range(1001):
        s3.put_object(Bucket=deployed["BucketName"], Key=f"jobs/j1/{number}", Body=b"")
    assert "more than 1000 objects" in heliostat("status").out


def test_a_part_that_cannot_be_had_does_not_hold_back_the_others(
    deployed: dict[str, str], heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = BaseClient._make_api_call

    def deny(client: BaseClient, operation: str, parameters: object) -> Any:
        if operation in ("GetFunction", "ListObjectsV2"):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "You may not."}}, operation)
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", deny)
    told = heliostat("status")
    assert told.status == 0
    assert "function     unknown: An error occurred (AccessDenied) when calling the GetFunction operation" in told.out
    assert "bucket       unknown: " in told.out
    assert "queues       0 of running coordinators" in told.out


def test_a_stack_without_outputs_is_shown_as_it_is(
    deployed: dict[str, str], heliostat: Heliostat, stacks: dict[str, Stack]
) -> None:
    stacks["heliostat"].status = "ROLLBACK_COMPLETE"
    stacks["heliostat"].output_map = type(stacks["heliostat"].output_map)(
        stacks["heliostat"].resource_map, {"Outputs": {}}, stacks["heliostat"].stack_id
    )
    told = heliostat("status")
    assert told.status == 0
    assert told.out.splitlines() == [
        "stack   heliostat in eu-west-1: ROLLBACK_COMPLETE",
        "queues  0 of running coordinators",
    ]
