"""What goes wrong on AWS, as Heliostat's causes: nothing that boto3 knows of is left out."""

from __future__ import annotations

from typing import Any

import botocore.exceptions
import botocore.session
import pytest
from botocore.exceptions import ClientError

from heliostat.errors import Misconfigured, Throttled
from heliostat.model.cause import Cause
from heliostat_aws import errors as mapping
from heliostat_aws.errors import ADVICE, LOST, THROTTLED, of_call, of_function
from heliostat_aws.invocation import Report


def answer(code: str, status: int = 400, **headers: str) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": "so it is"},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
        },
        "Invoke",
    )


def test_every_error_that_the_sdk_knows_of_invoke_is_mapped():
    model = botocore.session.get_session().get_service_model("lambda")
    known = {shape.name for shape in model.operation_model("Invoke").error_shapes}
    assert known, "the model lists them"
    assert sorted(known - THROTTLED - LOST - set(ADVICE)) == []


def test_no_code_is_in_two_places():
    assert not THROTTLED & LOST
    assert not (THROTTLED | LOST) & set(ADVICE)


@pytest.mark.parametrize(
    ("error", "cause", "said"),
    [
        (answer("TooManyRequestsException", 429), Cause.THROTTLED, "AWS throttles function film"),
        (answer("Unknown", 429), Cause.THROTTLED, "AWS throttles"),
        (answer("EC2ThrottledException", 502), Cause.THROTTLED, "AWS throttles"),
        (answer("ServiceException", 500), Cause.WORKER_LOST, "AWS failed to run function film"),
        (answer("NeverHeardOf", 503), Cause.WORKER_LOST, "AWS failed"),
        (answer("ResourceNotFoundException", 404), Cause.MISCONFIGURED, "heliostat aws deploy"),
        (answer("AccessDeniedException", 403), Cause.MISCONFIGURED, "heliostat aws policy"),
        (answer("ExpiredTokenException", 403), Cause.MISCONFIGURED, "aws sso login"),
        (answer("UnrecognizedClientException", 403), Cause.MISCONFIGURED, "AWS_ACCESS_KEY_ID"),
        (answer("RequestTooLargeException", 413), Cause.MISCONFIGURED, "smaller"),
        (answer("KMSDisabledException", 502), Cause.MISCONFIGURED, "enable the function's key"),
        (botocore.exceptions.NoCredentialsError(), Cause.MISCONFIGURED, "log in"),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="http://x"), Cause.WORKER_LOST, "check the network"),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="http://x"), Cause.WORKER_LOST, "connection"),
        (botocore.exceptions.ConnectionClosedError(endpoint_url="http://x"), Cause.WORKER_LOST, "connection"),
        (botocore.exceptions.ParamValidationError(report="bad\nname"), Cause.MISCONFIGURED, "bad name"),
        (OSError("broken pipe"), Cause.WORKER_LOST, "OSError: broken pipe"),
    ],
)
def test_calls(error: Exception, cause: Cause, said: str):
    mapped = of_call(error, "function film")
    assert mapped.cause is cause
    assert said in str(mapped)
    assert "\n" not in str(mapped)


def test_a_throttle_says_how_long_to_wait():
    mapped = of_call(answer("TooManyRequestsException", 429, **{"retry-after": "7"}), "function film")
    assert isinstance(mapped, Throttled)
    assert mapped.retry_after == 7.0


FULL = Report(1.0, 512, 512)


@pytest.mark.parametrize(
    ("kind", "message", "report", "cause"),
    [
        ("Sandbox.Timedout", "RequestId: 1 Error: Task timed out after 3.00 seconds", Report(), Cause.TIMED_OUT),
        ("", "2026-11-25T00:00:00Z 1 Task timed out after 3.00 seconds", Report(), Cause.TIMED_OUT),
        ("Runtime.OutOfMemory", "no more", Report(), Cause.OUT_OF_MEMORY),
        ("Runtime.ExitError", "Runtime exited with error: signal: killed", FULL, Cause.OUT_OF_MEMORY),
        ("Runtime.ExitError", "Runtime exited with error: signal: killed", Report(), Cause.WORKER_LOST),
        ("Runtime.ExitError", "Runtime exited with error: exit status 1", FULL, Cause.OUT_OF_MEMORY),
        ("Runtime.ExitError", "Runtime exited with error: exit status 1", Report(), Cause.WORKER_LOST),
        ("Runtime.ImportModuleError", "No module named 'x'", Report(), Cause.MISCONFIGURED),
        ("Extension.Crash", "gone", Report(), Cause.MISCONFIGURED),
        ("Function.ResponseSizeTooLarge", "too large", Report(), Cause.BAD_OUTPUT),
        ("ValueError", "in the handler", Report(), Cause.WORKER_LOST),
    ],
)
def test_function_errors(kind: str, message: str, report: Report, cause: Cause):
    mapped = of_function(kind, message, report, "the end of the log")
    assert mapped.cause is cause
    assert mapped.stderr_tail == "the end of the log"


def test_every_advice_says_what_to_do():
    for code in ADVICE:
        mapped: Any = of_call(answer(code), "function film")
        assert isinstance(mapped, Misconfigured)
        assert code in str(mapped)
    assert mapping.__doc__
