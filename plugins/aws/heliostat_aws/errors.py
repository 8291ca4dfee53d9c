"""What goes wrong on AWS, as Heliostat's causes. The only place where errors of Lambda are mapped.

Sources: the errors of Invoke in the AWS Lambda API reference; "Lambda runtime errors" in the Lambda developer guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from heliostat.errors import AttemptError, BadOutput, Misconfigured, OutOfMemory, Throttled, TimedOut, WorkerLost

if TYPE_CHECKING:
    from heliostat_aws.invocation import Report

THROTTLED: Final = frozenset(
    {
        "TooManyRequestsException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "EC2ThrottledException",
        "CodeArtifactUserPendingException",
        "ENILimitReachedException",
        "ENINotReadyException",
        "SubnetIPAddressLimitReachedException",
        "ResourceNotReadyException",
        "SnapStartNotReadyException",
        "SnapStartTimeoutException",
        "ResourceConflictException",
        "KMSThrottlingException",
        "SlowDown",
    }
)
"""The same call may succeed in a while."""

LOST: Final = frozenset(
    {
        "ServiceException",
        "EC2UnexpectedException",
        "EFSIOException",
        "EFSMountTimeoutException",
        "S3FilesMountTimeoutException",
        "InternalFailure",
        "InternalServerError",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "RequestTimeout",
        "RequestTimeoutException",
    }
)
"""AWS failed, or something on the way to it."""

ADVICE: Final = {
    "ResourceNotFoundException": "deploy it with `heliostat aws deploy`, or correct its name, qualifier and region",
    "AccessDeniedException": "`heliostat aws policy` prints what the caller needs to be allowed",
    "AccessDenied": "`heliostat aws policy` prints what the caller needs to be allowed",
    "ExpiredTokenException": "log in again, for example with `aws sso login`",
    "ExpiredToken": "log in again, for example with `aws sso login`",
    "UnrecognizedClientException": "check AWS_ACCESS_KEY_ID or the profile",
    "InvalidClientTokenId": "check AWS_ACCESS_KEY_ID or the profile",
    "InvalidSignatureException": "check the secret key, and this machine's clock",
    "SignatureDoesNotMatch": "check the secret key, and this machine's clock",
    "IncompleteSignature": "check the secret key, and this machine's clock",
    "MissingAuthenticationTokenException": "check the credentials",
    "InvalidParameterValueException": "correct the option that it names",
    "InvalidRequestContentException": "install the same version of Heliostat here and in the worker image",
    "RequestTooLargeException": "make the chunk's command and environment smaller, or pass them in an input file",
    "UnsupportedMediaTypeException": "install the same version of Heliostat here and in the worker image",
    "CodeArtifactUserDeletedException": "push the worker image again and deploy",
    "CodeArtifactUserFailedException": "push the worker image again and deploy",
    "EC2AccessDeniedException": "let the function's role manage network interfaces, or take it out of the VPC",
    "RuntimeAliasDeletedException": "deploy the worker image again",
    "RuntimeVersionDeletedException": "deploy the worker image again",
    "ServiceQuotaExceededException": "ask AWS to raise the quota that it names",
    "SnapStartRegenerationFailureException": "deploy the worker as an image",
    "KMSAccessDeniedException": "let the function's role use its key",
    "KMSDisabledException": "enable the function's key",
    "KMSInvalidStateException": "bring the function's key into order",
    "KMSNotFoundException": "give the function a key that exists",
    "InvalidRuntimeException": "deploy the worker image again",
    "InvalidZipFileException": "deploy the worker as an image",
    "InvalidSecurityGroupIDException": "correct the function's network settings",
    "InvalidSubnetIDException": "correct the function's network settings",
    "EFSMountConnectivityException": "correct the function's network settings",
    "EFSMountFailureException": "correct the function's file system settings",
    "S3FilesMountConnectivityException": "correct the function's network settings",
    "S3FilesMountFailureException": "correct the function's file system settings",
    "SerializedRequestEntityTooLargeException": "make the chunk's command and environment smaller",
    "SnapStartException": "deploy the worker as an image",
    "DurableExecutionAlreadyStartedException": "turn durable execution off for the function",
    "NoPublishedVersionException": "publish a version of the function, or leave the qualifier out",
    "ModeNotSupportedException": "deploy the function with the template of `heliostat aws deploy`",
    "RecursiveInvocationException": "let no chunk invoke the function itself",
}
"""What no retry can help against, and what to do."""


def of_call(error: Exception, what: str) -> AttemptError:
    """An error of boto3 while it called for `what`, such as `function film`."""
    from botocore import exceptions as botocore

    if isinstance(error, botocore.ClientError):
        return _of_answer(error, what)
    if isinstance(
        error,
        botocore.NoCredentialsError
        | botocore.PartialCredentialsError
        | botocore.CredentialRetrievalError
        | botocore.TokenRetrievalError
        | botocore.SSOError
        | botocore.UnauthorizedSSOTokenError,
    ):
        return Misconfigured(f"AWS credentials are missing or worn out ({error}); log in, or set AWS_PROFILE")
    if isinstance(error, botocore.ParamValidationError | botocore.NoRegionError):
        return Misconfigured(f"{what} cannot be called ({' '.join(str(error).split())}); correct the adapter's options")
    if isinstance(error, botocore.BotoCoreError):  # no connection, one that broke, no answer in time
        return WorkerLost(f"the connection to {what} was lost ({error}); check the network")
    return WorkerLost(f"calling {what} failed ({type(error).__name__}: {error})")


def _of_answer(error: Any, what: str) -> AttemptError:
    code = error.response.get("Error", {}).get("Code", "")
    said = error.response.get("Error", {}).get("Message") or error.response.get("Message") or "no reason given"
    answer = error.response.get("ResponseMetadata", {})
    if code in THROTTLED or answer.get("HTTPStatusCode") == 429:
        wait = answer.get("HTTPHeaders", {}).get("retry-after", "")
        return Throttled(f"AWS throttles {what} ({code}: {said})", retry_after=float(wait) if wait.isdigit() else None)
    if code in LOST or (answer.get("HTTPStatusCode", 0) >= 500 and code not in ADVICE):
        return WorkerLost(f"AWS failed to run {what} ({code}: {said})")
    advice = ADVICE.get(code, "see the AWS documentation of that error")
    return Misconfigured(f"{what}: {code}: {said.rstrip('.')}; {advice}")


NEVER_STARTS: Final = (
    "Runtime.ImportModuleError",
    "Runtime.HandlerNotFound",
    "Runtime.MalformedHandlerName",
    "Runtime.UserCodeSyntaxError",
    "Runtime.InvalidEntrypoint",
    "Runtime.InvalidWorkingDir",
    "Runtime.InvalidTaskConfig",
    "Extension.",
)


def of_function(kind: str, said: str, report: Report, log_tail: str) -> AttemptError:
    """An invocation that ended with a function error: `kind` and `said` are `errorType` and `errorMessage`."""
    if kind == "Sandbox.Timedout" or "Task timed out" in said:
        return TimedOut(
            "the function ran into its time limit before its worker could stop the chunk; raise TimeoutSeconds, or make"
            " the chunks smaller",
            stderr_tail=log_tail,
        )
    if kind == "Runtime.OutOfMemory" or "Runtime.OutOfMemory" in log_tail or report.used_all_memory:
        size = f" of {report.memory_mb} MB" if report.memory_mb else ""
        return OutOfMemory(
            f"the function used up its memory{size}; deploy it with more, or make the frames smaller",
            stderr_tail=log_tail,
        )
    if kind == "Function.ResponseSizeTooLarge":
        return BadOutput("the result is larger than Lambda returns; write fewer files in a chunk", stderr_tail=log_tail)
    if kind.startswith(NEVER_STARTS):
        return Misconfigured(
            f"the worker does not start ({kind}: {said}); build its image again and deploy", stderr_tail=log_tail
        )
    return WorkerLost(f"the worker ended unexpectedly ({kind or 'no reason'}: {said})", stderr_tail=log_tail)
