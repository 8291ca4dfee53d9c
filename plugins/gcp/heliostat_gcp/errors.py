"""What goes wrong on Google Cloud, as Heliostat's causes. The only place where errors of the Admin API are mapped.

Source: `google.rpc.Code`, https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto.
"""

from __future__ import annotations

from typing import Final

from heliostat.errors import AttemptError, Misconfigured, Throttled, WorkerLost
from heliostat_gcp.clock import SET_IT, WrongClock, is_about_time

THROTTLED: Final = frozenset({"ResourceExhausted", "TooManyRequests"})
"""The same call may succeed in a while."""

_LOG_IN: Final = "log in again: gcloud auth application-default login, and see that this machine's clock is right"

LOST: Final = frozenset(
    {
        "Aborted",
        "BadGateway",
        "Cancelled",
        "ClientError",
        "DataLoss",
        "DeadlineExceeded",
        "GatewayTimeout",
        "GoogleAPICallError",
        "GoogleAPIError",
        "InternalServerError",
        "MissingStatusHeaderError",
        "ResumableTransferError",
        "RetryError",
        "ServerError",
        "ServiceUnavailable",
        "TransferStalledError",
        "Unknown",
        "UnseekableStreamError",
        "UploadCancelledError",
    }
)
"""Google failed, or something on the way to it."""

ADVICE: Final = {
    "AlreadyExists": "choose another name",
    "AsyncRestUnsupportedParameterError": "install the versions that heliostat-gcp asks for",
    "BadRequest": "correct what it names",
    "Conflict": "wait for the other change to end",
    "DuplicateCredentialArgs": "install the versions that heliostat-gcp asks for",
    "FailedPrecondition": "bring it into the state that it names",
    "Forbidden": "`heliostat gcp policy` prints what the caller needs to be allowed",
    "InvalidArgument": "correct what it names",
    "LengthRequired": "install the versions that heliostat-gcp asks for",
    "MethodNotAllowed": "correct the address",
    "MethodNotImplemented": "see that the Cloud Run Admin API is enabled: gcloud services enable run.googleapis.com",
    "MovedPermanently": "correct the address",
    "NotFound": "deploy it with `heliostat gcp deploy`, or correct its name, project and region",
    "NotModified": "correct the address",
    "OutOfRange": "correct what it names",
    "PermissionDenied": "`heliostat gcp policy` prints what the caller needs to be allowed",
    "PreconditionFailed": "try again, somebody else has changed it",
    "Redirection": "correct the address",
    "RequestRangeNotSatisfiable": "correct what it names",
    "ResumeIncomplete": "correct the address",
    "TemporaryRedirect": "correct the address",
    "Unauthenticated": _LOG_IN,
    "Unauthorized": _LOG_IN,
}
"""What no retry can help against, and what to do."""


def of_call(error: Exception, what: str) -> AttemptError:
    """An error of Google's libraries while they called for `what`, such as `job film`."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    if isinstance(error, api.RetryError) and isinstance(error.cause, Exception):
        error = error.cause  # the last of several
    if isinstance(error, auth.GoogleAuthError):
        if isinstance(error, auth.TransportError) or getattr(error, "retryable", False):
            return WorkerLost(f"credentials for {what} could not be had ({_sentence(error)})")
        if is_about_time(error):
            return WrongClock(f"credentials for {what} are refused for the time in them ({_sentence(error)}); {SET_IT}")
        return Misconfigured(
            f"credentials for {what} are missing or worn out ({_sentence(error)}); log in with `gcloud auth"
            " application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
        )
    if isinstance(error, api.GoogleAPIError):
        for kind in type(error).__mro__:  # the nearest kind that is known
            if kind.__name__ in THROTTLED:
                return Throttled(f"Google throttles {what} ({_sentence(error)})")
            if kind.__name__ in ADVICE:
                return Misconfigured(f"{what}: {_sentence(error)}; {ADVICE[kind.__name__]}")
            if kind.__name__ in LOST:
                break
        return WorkerLost(f"Google failed at {what} ({_sentence(error)})")
    return WorkerLost(f"calling for {what} failed ({type(error).__name__}: {_sentence(error)})")


def _sentence(error: Exception) -> str:
    said = getattr(error, "message", None) or str(error) or type(error).__name__
    return " ".join(str(said).split())[:300].rstrip(".")
