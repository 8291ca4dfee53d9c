"""`heliostat aws doctor` finds what would keep jobs from running, and says how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.awslambda_simple.models import lambda_simple_backends
from moto.cloudformation.models import Stack

from heliostat_aws.deploy.checks import Failed, Unknown, clock

from .conftest import ACCOUNT, REGION, Heliostat

Answer = Callable[[object], None]
Pretend = Callable[..., None]


@pytest.fixture
def worker_answers(aws: None) -> Answer:
    """Sets what the function answers next."""

    def answer(value: object) -> None:
        lambda_simple_backends[ACCOUNT][REGION].lambda_simple_results_queue.append(json.dumps(value))

    return answer


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Replaces the answers of operations that moto lacks, or has no faults in."""
    call = BaseClient._make_api_call
    answers: dict[str, Any] = {}

    def answered(client: BaseClient, operation: str, parameters: object) -> Any:
        if operation not in answers:
            return call(client, operation, parameters)
        if isinstance(answers[operation], str):
            raise ClientError({"Error": {"Code": answers[operation], "Message": "No."}}, operation)
        return answers[operation]

    monkeypatch.setattr(BaseClient, "_make_api_call", answered)
    return answers.update


@pytest.fixture
def healthy(deployed: dict[str, str], worker_answers: Answer, pretend: Pretend) -> dict[str, str]:
    """The stack as AWS makes it: moto drops the configuration of events, and has no account settings."""
    boto3.client("lambda").put_function_event_invoke_config(FunctionName="heliostat-worker", MaximumRetryAttempts=0)
    worker_answers({"heliostat": version("heliostat"), "python": "3.12.1"})
    pretend(GetAccountSettings={"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}})
    return deployed


def findings(out: str) -> dict[str, tuple[str, str]]:
    """By check: verdict and what was found."""
    told = {}
    for line in out.splitlines():
        verdict, _, rest = line.partition(" ")
        check, _, detail = rest.strip().partition(": ")
        told[check] = (verdict, detail)
    return told


def test_all_is_well(healthy: dict[str, str], heliostat: Heliostat) -> None:
    told = heliostat("doctor", "--concurrency", 900)
    assert (told.status, told.err) == (0, ""), told.out
    found = findings(told.out)
    assert list(found) == [
        *("credentials, region", "caller", "clock", "stack", "function", "worker", "retries", "concurrency", "bucket"),
        "queues",
    ]
    assert {verdict for check, (verdict, _) in found.items() if check != "clock"} == {"ok"}
    assert found["worker"][1] == f"answers, with Heliostat {version('heliostat')} on Python 3.12.1"
    assert found["concurrency"][1] == "up to 900 invocations at once, shared with the account"


def test_nothing_is_left_behind(healthy: dict[str, str], heliostat: Heliostat) -> None:
    assert heliostat("doctor").status == 0
    assert boto3.client("s3").list_objects_v2(Bucket=healthy["BucketName"])["KeyCount"] == 0
    queues = [url.rpartition("/")[2] for url in boto3.client("sqs").list_queues()["QueueUrls"]]
    assert queues == ["heliostat-failures"]


def test_what_stand_ins_for_aws_lack_is_unknown_and_no_failure(deployed: dict[str, str], heliostat: Heliostat) -> None:
    boto3.client("lambda").put_function_event_invoke_config(FunctionName="heliostat-worker", MaximumRetryAttempts=0)
    told = heliostat("doctor", "-n", 10)
    found = findings(told.out)
    assert told.status == 0, told.out
    assert found["worker"] == (
        "unknown",
        "the function answers, but does not say which version of Heliostat it has",
    )
    assert found["concurrency"][0] == "unknown"


@pytest.mark.parametrize(
    "names", [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_REGION", "AWS_DEFAULT_REGION")]
)
def test_without_credentials_or_region_it_ends_there(
    names: tuple[str, str], heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        monkeypatch.delenv(name)
    told = heliostat("doctor")
    assert (told.status, told.err) == (1, "")
    assert list(findings(told.out)) == ["credentials, region"]
    assert findings(told.out)["credentials, region"][0] == "failed"


def test_credentials_that_aws_refuses_end_it_too(aws: None, heliostat: Heliostat, pretend: Pretend) -> None:
    pretend(GetCallerIdentity="ExpiredToken")
    told = heliostat("doctor")
    assert told.status == 1
    found = findings(told.out)
    assert list(found) == ["credentials, region", "caller", "clock"]
    assert found["caller"][0] == "failed"
    assert "log in again" in found["caller"][1]


def test_no_stack(aws: None, heliostat: Heliostat) -> None:
    told = heliostat("doctor", "--stack", "nowhere")
    assert told.status == 1
    verdict, detail = findings(told.out)["stack"]
    assert verdict == "failed"
    assert detail.startswith("there is no stack 'nowhere' in eu-west-1; make it with")
    assert "function" not in findings(told.out)


def test_a_stack_that_is_not_complete(deployed: dict[str, str], heliostat: Heliostat, stacks: dict[str, Stack]) -> None:
    stacks["heliostat"].status = "UPDATE_ROLLBACK_FAILED"
    told = heliostat("doctor")
    assert told.status == 1
    assert findings(told.out)["stack"][1].startswith("stack heliostat is in state UPDATE_ROLLBACK_FAILED; see")


def test_a_stack_that_is_another_one_than_heliostats(aws: None, heliostat: Heliostat) -> None:
    template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
    boto3.client("cloudformation").create_stack(StackName="other", TemplateBody=json.dumps(template))
    assert findings(heliostat("doctor", "--stack", "other").out)["stack"] == (
        "failed",
        "stack other has no output BucketName, so it is another one than Heliostat's; choose another --stack",
    )


@pytest.mark.parametrize(
    ("changes", "check", "verdict", "sentence"),
    [
        (
            {
                "GetFunctionConfiguration": {
                    "State": "Failed",
                    "LastUpdateStatus": "Failed",
                    "StateReason": "The image cannot be pulled.",
                    "MemorySize": 1,
                    "Timeout": 1,
                }
            },
            "function",
            "failed",
            "heliostat-worker is Failed, its last update Failed (The image cannot be pulled); wait if it is pending",
        ),
        ({"GetFunctionConfiguration": "ResourceNotFoundException"}, "function", "failed", "`heliostat aws deploy`"),
        ({"Invoke": "TooManyRequestsException"}, "worker", "failed", "AWS throttles worker"),
        ({"GetFunctionEventInvokeConfig": "ResourceNotFoundException"}, "retries", "failed", "twice again"),
        ({"GetFunctionEventInvokeConfig": {"MaximumRetryAttempts": 1}}, "retries", "failed", "up to 1 times again"),
        ({"GetFunctionEventInvokeConfig": {}}, "retries", "failed", "up to 2 times again"),
        ({"GetFunctionEventInvokeConfig": "AccessDeniedException"}, "retries", "unknown", "may not see"),
        ({"GetFunctionConcurrency": "AccessDeniedException"}, "concurrency", "unknown", "may not see"),
        ({"GetAccountSettings": "AccessDeniedException"}, "concurrency", "unknown", "AWS did not say"),
        ({"PutObject": "AccessDenied"}, "bucket", "failed", "`heliostat aws policy` prints"),
        ({"CreateQueue": "AccessDenied"}, "queues", "failed", "`heliostat aws policy` prints"),
        (
            {"GetFunctionConcurrency": {"ReservedConcurrentExecutions": 5}},
            "concurrency",
            "failed",
            (
                "10 invocations at once are wanted, and 5 can be had; render with --concurrency 5, or run"
                " `heliostat aws deploy --stack heliostat --parameter ReservedConcurrency=10`"
            ),
        ),
        (
            {"GetAccountSettings": {"AccountLimit": {"UnreservedConcurrentExecutions": 7}}},
            "concurrency",
            "failed",
            "render with --concurrency 7, or have Lambda's quota `Concurrent executions` raised",
        ),
    ],
)
def test_one_thing_is_wrong(
    changes: dict[str, Any],
    check: str,
    verdict: str,
    sentence: str,
    healthy: dict[str, str],
    heliostat: Heliostat,
    pretend: Pretend,
) -> None:
    pretend(**changes)
    told = heliostat("doctor", "--concurrency", 10)
    found = findings(told.out)
    assert found[check][0] == verdict
    assert sentence in found[check][1]
    assert [name for name, (said, _) in found.items() if said == "failed"] == ([check] if verdict == "failed" else [])
    assert told.status == (1 if verdict == "failed" else 0)
    assert "queues" in found  # it went on to the end


def test_a_worker_of_another_version(deployed: dict[str, str], worker_answers: Answer, heliostat: Heliostat) -> None:
    worker_answers({"heliostat": "0.0.1", "python": "3.12.1"})
    verdict, detail = findings(heliostat("doctor").out)["worker"]
    assert verdict == "failed"
    assert detail.startswith(f"the worker has Heliostat 0.0.1, and this machine {version('heliostat')}; install that")


def test_a_worker_that_does_not_start(healthy: dict[str, str], heliostat: Heliostat, pretend: Pretend) -> None:
    from io import BytesIO

    error = {"errorType": "Runtime.ImportModuleError", "errorMessage": "No module named 'heliostat_aws'"}
    pretend(Invoke={"FunctionError": "Unhandled", "Payload": BytesIO(json.dumps(error).encode())})
    verdict, detail = findings(heliostat("doctor").out)["worker"]
    assert verdict == "failed"
    assert detail == (
        "the worker does not start (Runtime.ImportModuleError: No module named 'heliostat_aws'); see its log group"
        " /aws/lambda/heliostat-worker, mend the image and deploy it"
    )


def test_a_clock_that_is_right() -> None:
    assert clock("Thu, 01 Jan 1970 00:01:40 GMT", 110.0) == "within 60 s of AWS"


@pytest.mark.parametrize(("now", "way"), [(1000.0, "900 s ahead of"), (-200.0, "300 s behind")])
def test_a_clock_that_is_wrong(now: float, way: str) -> None:
    with pytest.raises(Failed, match=f"this machine is {way} AWS, .*; let NTP set the clock"):
        clock("Thu, 01 Jan 1970 00:01:40 GMT", now)


def test_a_clock_that_there_is_nothing_to_compare_with() -> None:
    with pytest.raises(Unknown):
        clock(None, 0.0)
