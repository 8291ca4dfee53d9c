"""What `heliostat aws doctor` looks at, in an order in which each check can rely on those before it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial
from importlib.metadata import version
from typing import Any, Final, Literal

from msgspec import Struct

from heliostat.errors import HeliostatError
from heliostat_aws.deploy.services import Services, code_of, is_denied, refusals
from heliostat_aws.deploy.stack import Stack, get_stack
from heliostat_aws.deploy.status import concurrency
from heliostat_aws.session import Connection, open_client

MOST_SKEW: Final = 60
"""Seconds. AWS refuses requests that are 5 minutes off, so a minute is a warning in time."""
PATIENCE: Final = 120
"""Seconds that the worker gets to start and say hello; large images take long at first."""
HELLO: Final = b'{"version":1,"invocation":"hello"}'


class Finding(Struct, frozen=True):
    check: str
    verdict: Literal["ok", "failed", "unknown"]
    detail: str
    """What was found; where it failed, also what to do."""


class Failed(Exception):
    """What is wrong, and what to do."""


class Unknown(Exception):
    """Why it cannot be said."""


def examine(connection: Connection, stack: str, wanted: int | None) -> Iterator[Finding]:
    """One finding after the other; it ends early when the rest would fail for the same reason."""
    services = Services(connection)
    answer: dict[str, Any] = {}
    try:
        yield (finding := _check("credentials, region", lambda: f"found, in {services.region}"))
        if finding.verdict == "failed":
            return
        yield (finding := _check("caller", partial(_caller, services, answer)))
        yield _check("clock", lambda: clock(answer.get("HTTPHeaders", {}).get("date"), answer.get("received", 0.0)))
        if finding.verdict == "failed":
            return
        found: list[Stack] = []
        yield _check("stack", partial(_stack, services, stack, found))
        if found:
            yield from _of_stack(services, connection, found[0], wanted)
    finally:
        services.close()


def _of_stack(services: Services, connection: Connection, stack: Stack, wanted: int | None) -> Iterator[Finding]:
    outputs = stack.outputs
    yield _check("function", partial(_function, services, outputs["FunctionName"]))
    yield _check("worker", partial(_worker, connection, outputs))
    yield _check("retries", partial(_retries, services, outputs["FunctionName"], stack.name))
    yield _check("concurrency", partial(_concurrency, services, outputs["FunctionName"], stack.name, wanted))
    yield _check("bucket", partial(_bucket, services, outputs["BucketName"]))
    yield _check("queues", partial(_queues, services, outputs["ReplyQueuePrefix"]))


def _check(name: str, look: Callable[[], str]) -> Finding:
    try:
        with refusals(name):
            return Finding(name, "ok", look())
    except Unknown as error:
        return Finding(name, "unknown", str(error))
    except (Failed, HeliostatError) as error:
        return Finding(name, "failed", str(error))


def _caller(services: Services, answer: dict[str, Any]) -> str:
    """Whose credentials these are; leaves the answer's headers, and when it came, in `answer`."""
    from botocore.exceptions import ClientError

    try:
        identity = services["sts"].get_caller_identity()
    except ClientError as error:
        answer |= {**error.response.get("ResponseMetadata", {}), "received": time.time()}
        raise
    answer |= {**identity["ResponseMetadata"], "received": time.time()}
    return f"{identity['Arn']} in account {identity['Account']}"


def clock(date: str | None, now: float) -> str:
    """Compare this machine's time with the header `Date` of an answer."""
    if date is None:
        raise Unknown("AWS did not say what time it is")
    skew = now - parsedate_to_datetime(date).timestamp()
    if abs(skew) > MOST_SKEW:
        raise Failed(
            f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} AWS, which refuses requests that"
            " are minutes off; let NTP set the clock"
        )
    return f"within {MOST_SKEW} s of AWS"


def _stack(services: Services, name: str, found: list[Stack]) -> str:
    stack = get_stack(services["cloudformation"], name)
    if not stack.is_usable:
        raise Failed(
            f"stack {name} is in state {stack.state}; see `heliostat aws status --stack {name}`, then deploy it again"
        )
    if missing := {"FunctionName", "BucketName", "ReplyQueuePrefix", "LogGroupName"} - set(stack.outputs):
        raise Failed(
            f"stack {name} has no output {min(missing)}, so it is another one than Heliostat's; choose another --stack"
        )
    found.append(stack)
    return f"{name} is {stack.state}"


def _function(services: Services, name: str) -> str:
    configured = services["lambda"].get_function_configuration(FunctionName=name)
    state, update = configured.get("State", "Active"), configured.get("LastUpdateStatus", "Successful")
    if state not in ("Active", "Inactive") or update != "Successful":  # an inactive one wakes up when it is invoked
        reason = configured.get("StateReason") or configured.get("LastUpdateStatusReason") or "no reason given"
        raise Failed(
            f"{name} is {state}, its last update {update} ({reason.rstrip('.')}); wait if it is pending, otherwise"
            " deploy again"
        )
    return f"{name} is {state}, with {configured['MemorySize']} MB and {configured['Timeout']} s"


def _worker(connection: Connection, outputs: dict[str, str]) -> str:
    """Let the worker say hello, and compare versions."""
    once = {"retries": {"total_max_attempts": 1}, "read_timeout": PATIENCE}
    lambda_ = open_client("lambda", connection, **once)
    try:
        answer = lambda_.invoke(FunctionName=outputs["FunctionName"], Payload=HELLO)
        said = answer["Payload"].read()
    finally:
        lambda_.close()
    try:
        hello = json.loads(said)
    except ValueError:
        hello = None
    if "FunctionError" in answer:
        reason = (
            f"{hello.get('errorType')}: {hello.get('errorMessage')}" if isinstance(hello, dict) else "no reason given"
        )
        raise Failed(
            f"the worker does not start ({reason}); see its log group {outputs['LogGroupName']}, mend the image and"
            " deploy it"
        )
    if not isinstance(hello, dict) or "heliostat" not in hello:
        raise Unknown("the function answers, but does not say which version of Heliostat it has")
    here, there = version("heliostat"), hello["heliostat"]
    if here != there:
        raise Failed(
            f"the worker has Heliostat {there}, and this machine {here}; install that version here, or build the image"
            " from this one and deploy it"
        )
    return f"answers, with Heliostat {there} on Python {hello.get('python', '?')}"


def _retries(services: Services, function: str, stack: str) -> str:
    from botocore.exceptions import ClientError

    again = f"run `heliostat aws deploy --stack {stack}`, or set MaximumRetryAttempts to 0"
    try:
        configured = services["lambda"].get_function_event_invoke_config(FunctionName=function)
    except ClientError as error:
        if is_denied(error):
            raise Unknown("the caller may not see how often asynchronous invocations are retried") from error
        if code_of(error) == "ResourceNotFoundException":
            raise Failed(f"Lambda runs failed asynchronous invocations twice again; {again}") from error
        raise
    retries = configured.get("MaximumRetryAttempts", 2)
    if retries != 0:
        raise Failed(f"Lambda runs failed asynchronous invocations up to {retries} times again; {again}")
    return "none by Lambda itself"


def _concurrency(services: Services, function: str, stack: str, wanted: int | None) -> str:
    from botocore.exceptions import ClientError

    try:
        known = concurrency(services["lambda"], function)
    except ClientError as error:
        if is_denied(error):
            raise Unknown("the caller may not see the function's concurrency") from error
        raise
    reserved, unreserved = known["reserved"], known["unreserved"]
    available = unreserved if reserved is None else reserved
    if available is None:
        raise Unknown("nothing is reserved for the function, and AWS did not say how much the account may have")
    if wanted is not None and wanted > available:
        remedy = (
            "have Lambda's quota `Concurrent executions` raised"
            if reserved is None
            else f"run `heliostat aws deploy --stack {stack} --parameter ReservedConcurrency={wanted}`"
        )
        raise Failed(
            f"{wanted} invocations at once are wanted, and {available} can be had; render with --concurrency"
            f" {available}, or {remedy}"
        )
    return f"up to {available} invocations at once, {'shared with the account' if reserved is None else 'reserved'}"


def _bucket(services: Services, bucket: str) -> str:
    place = {"Bucket": bucket, "Key": f"control/doctor/{secrets.token_hex(8)}"}
    services["s3"].put_object(**place, Body=b"")
    services["s3"].delete_object(**place)
    return f"{bucket} can be written to"


def _queues(services: Services, prefix: str) -> str:
    made = services["sqs"].create_queue(QueueName=f"{prefix}doctor-{secrets.token_hex(8)}")
    services["sqs"].delete_queue(QueueUrl=made["QueueUrl"])
    return "can be made and deleted"
