"""`heliostat aws status`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import typer

from heliostat_aws.deploy import options

if TYPE_CHECKING:
    from heliostat_aws.deploy.services import Services
    from heliostat_aws.deploy.stack import Stack

ABANDONED_AFTER: Final = 86_400
"""Seconds after which a coordinator's queue is taken for one whose coordinator died; see `heliostat_aws.replies`."""
MOST_COUNTED: Final = 1000
"""Objects that one request lists."""


def command(
    stack: options.StackName = options.DEFAULT_STACK,
    as_json: options.AsJson = False,
    region: options.Region = None,
    profile: options.Profile = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Show the stack, its function, its bucket and its queues."""
    import json

    from heliostat_aws.deploy.services import services_for
    from heliostat_aws.deploy.stack import get_stack
    from heliostat_aws.session import Connection

    connection = Connection(region=region, profile=profile, endpoint_url=endpoint_url)
    with services_for(f"stack {stack}", connection) as services:
        report = _report(services, get_stack(services["cloudformation"], stack))
    if as_json:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        _print(report)


def _report(services: Services, stack: Stack) -> dict[str, Any]:
    """None stands for what AWS did not tell."""
    function, bucket = stack.outputs.get("FunctionName"), stack.outputs.get("BucketName")
    return {
        "stack": {"name": stack.name, "region": services.region, "state": stack.state, "reason": stack.reason or None},
        "outputs": stack.outputs,
        "function": _asked(lambda: _function(services["lambda"], function)) if function else None,
        "concurrency": _asked(lambda: concurrency(services["lambda"], function)) if function else None,
        "bucket": _asked(lambda: _bucket(services["s3"], bucket)) if bucket else None,
        "queues": _asked(lambda: _queues(services["sqs"], f"{stack.name}-replies-")),
    }


def _asked(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A part that cannot be had does not hold back the others."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return ask()
    except (BotoCoreError, ClientError) as error:
        return {"problem": " ".join(str(error).split())}


def _function(lambda_: Any, name: str) -> dict[str, Any]:
    found = lambda_.get_function(FunctionName=name)
    configured = found["Configuration"]
    return {
        "state": configured.get("State"),
        "stateReason": configured.get("StateReason"),
        "lastUpdate": configured.get("LastUpdateStatus"),
        "lastUpdateReason": configured.get("LastUpdateStatusReason"),
        "image": found.get("Code", {}).get("ImageUri"),
        "memoryMb": configured.get("MemorySize"),
        "timeoutSeconds": configured.get("Timeout"),
        "storageMb": configured.get("EphemeralStorage", {}).get("Size"),
    }


def concurrency(lambda_: Any, function: str) -> dict[str, Any]:
    """Invocations at once: `reserved` for the function, the account's `limit`, and what of that is `unreserved`."""
    from botocore.exceptions import ClientError

    reserved = lambda_.get_function_concurrency(FunctionName=function).get("ReservedConcurrentExecutions")
    try:
        account = lambda_.get_account_settings()["AccountLimit"]
    except (ClientError, KeyError):  # a right of its own, which coordinators do not need; stand-ins for AWS lack it
        account = {}
    return {
        "reserved": reserved,
        "limit": account.get("ConcurrentExecutions"),
        "unreserved": account.get("UnreservedConcurrentExecutions"),
    }


def _bucket(s3: Any, name: str) -> dict[str, Any]:
    listed = s3.list_objects_v2(Bucket=name, MaxKeys=MOST_COUNTED)
    return {"name": name, "objects": listed.get("KeyCount", 0), "more": bool(listed.get("IsTruncated"))}


def _queues(sqs: Any, prefix: str) -> dict[str, Any]:
    now = time.time()
    in_use: list[str] = []
    abandoned: list[str] = []
    for page in sqs.get_paginator("list_queues").paginate(QueueNamePrefix=prefix):
        for url in page.get("QueueUrls", []):
            made = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["CreatedTimestamp"])
            age = now - float(made["Attributes"]["CreatedTimestamp"])
            (abandoned if age > ABANDONED_AFTER else in_use).append(url.rpartition("/")[2])
    return {"inUse": in_use, "abandoned": abandoned}


def _print(report: dict[str, Any]) -> None:
    from heliostat_aws.deploy.tables import print_table

    stack = report["stack"]
    reason = f" ({stack['reason']})" if stack["reason"] else ""
    rows = [("stack", f"{stack['name']} in {stack['region']}: {stack['state']}{reason}")]
    for name, describe in (
        ("function", _function_line),
        ("concurrency", _concurrency_line),
        ("bucket", _bucket_line),
        ("queues", _queues_line),
    ):
        if (part := report[name]) is not None:
            rows.append((name, f"unknown: {part['problem']}" if "problem" in part else describe(part)))
    print_table(rows)
    if report["outputs"]:
        typer.echo("outputs")
        print_table(list(report["outputs"].items()), indent="  ")


def _function_line(part: dict[str, Any]) -> str:
    reasons = [part[key] for key in ("stateReason", "lastUpdateReason") if part[key]]
    size = f"{part['memoryMb']} MB, {part['timeoutSeconds']} s, {part['storageMb'] or '?'} MB in /tmp"
    state = f"{part['state'] or '?'}, last update {part['lastUpdate'] or '?'}"
    return "; ".join([state, size, f"image {part['image'] or '?'}", *reasons])


def _concurrency_line(part: dict[str, Any]) -> str:
    reserved = "none reserved" if part["reserved"] is None else f"{part['reserved']} reserved"
    if part["limit"] is None:
        return f"{reserved}; the account's limit is unknown"
    return f"{reserved}; the account's limit is {part['limit']}, {part['unreserved']} of it unreserved"


def _bucket_line(part: dict[str, Any]) -> str:
    return f"{part['name']}: {'more than ' if part['more'] else ''}{part['objects']} objects"


def _queues_line(part: dict[str, Any]) -> str:
    abandoned = len(part["abandoned"])
    left = f", {abandoned} left behind by dead coordinators (the next job removes them)" if abandoned else ""
    return f"{len(part['inUse'])} of running coordinators{left}"
