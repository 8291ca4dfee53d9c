"""What goes wrong with Cloud Storage, as errors that say what to do. The only place where errors of Google's libraries
are mapped.

Source of the reasons: https://cloud.google.com/storage/docs/json_api/v1/status-codes.
"""

from __future__ import annotations

import contextlib
import http.client
import re
from typing import Any, Final

import msgspec
import requests
import urllib3
from google import resumable_media as media
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage import exceptions as storage

from heliostat import from_builtins
from heliostat.errors import ArtifactDenied, ArtifactError, Misconfigured
from heliostat.worker import DAMAGED, MEANWHILE
from heliostat_gcp.clock import SET_IT, is_about_time

PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
"""What a call is made again for, https://cloud.google.com/storage/docs/retry-strategy."""

_LOG_IN: Final = (
    "log in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to the file of a"
    " service account's key"
)
_WHO: Final = f"Google does not know these credentials, or they have expired; {_LOG_IN}"
_DENIED: Final = (
    "access is denied; give the caller the role Storage Object User (roles/storage.objectUser) on the bucket"
)
_BUCKET: Final = "the bucket does not exist; create it, or correct the store's URL"
_BUSY: Final = "Cloud Storage is busy and asks for fewer requests; try again later, or let fewer workers run at once"
_FAILED: Final = "Cloud Storage failed; try again later"
_PAY: Final = "the bucket lets whoever asks pay; give project=… in the store's URL"
_PAYER: Final = "the project that is to pay cannot be used; correct project=… in the store's URL"
_ACCOUNT: Final = "Google has a problem with the account or its billing; see the messages in its console"
_KMS: Final = "the bucket's encryption key cannot be used; enable it, or give the bucket another"
_CUSTOMER_KEY: Final = "the object is encrypted with a key of its owner's; store it without one"
_KEPT: Final = "the bucket keeps its objects from being changed; use one without retention policy and holds"
_LARGE: Final = "it is larger than Cloud Storage takes; make the chunks or the film smaller"
_STRANGER: Final = "the service is not Cloud Storage, or not all of it; correct endpoint_url in the store's URL"
_SLOW: Final = "the network is too slow for the transfer; try again, or let fewer workers run at once"

ADVICE: Final = {
    "notFound": _BUCKET,
    "forbidden": _DENIED,
    "insufficientPermissions": _DENIED,
    "countryBlocked": _DENIED,
    "orgPolicyConstraintFailed": "the organisation forbids it; ask its administrator, or use another bucket",
    "authError": _WHO,
    "lockedDomainExpired": _WHO,
    "AuthenticationRequiredRequesterPays": _PAY,
    "userProjectMissing": _PAY,
    "userProjectInvalid": _PAYER,
    "userProjectInconsistent": _PAYER,
    "UserProjectAccessDenied": _PAYER,
    "UserProjectAccountProblem": _ACCOUNT,
    "accountDisabled": _ACCOUNT,
    "accessNotConfigured": "the project has the API of Cloud Storage switched off; enable it in Google's console",
    "rateLimitExceeded": _BUSY,
    "userRateLimitExceeded": _BUSY,
    "quotaExceeded": "the project's quota is used up; ask Google for a larger one, or try again later",
    "conditionNotMet": MEANWHILE,
    "conflict": MEANWHILE,
    "requestedRangeNotSatisfiable": MEANWHILE,
    "retentionPolicyNotMet": _KEPT,
    "objectUnderActiveHold": _KEPT,
    "cloudKmsBadKey": _KMS,
    "cloudKmsCannotChangeKeyName": _KMS,
    "cloudKmsDecryptionKeyNotFound": _KMS,
    "cloudKmsDisabledKey": _KMS,
    "cloudKmsEncryptionKeyNotFound": _KMS,
    "cloudKmsKeyLocationNotAllowed": _KMS,
    "resourceIsEncryptedWithCustomerEncryptionKey": _CUSTOMER_KEY,
    "sslRequired": "Cloud Storage is called without encryption; write endpoint_url=https://…",
    "uploadTooLarge": _LARGE,
    "uploadBrokenConnection": _SLOW,
    "gone": "the upload was removed while it ran; try again",
    "backendError": _FAILED,
    "internalError": _FAILED,
    "gatewayTimeout": _FAILED,
    "methodNotAllowed": _STRANGER,
}
"""What is the matter and what to do, by the error's reason."""

BY_STATUS: Final = {
    301: _STRANGER,
    304: _STRANGER,
    307: _STRANGER,
    308: _STRANGER,
    401: _WHO,
    403: _DENIED,
    404: _BUCKET,
    405: _STRANGER,
    408: _SLOW,
    409: MEANWHILE,
    410: ADVICE["gone"],
    411: _STRANGER,
    412: MEANWHILE,
    413: _LARGE,
    416: MEANWHILE,
    429: _BUSY,
    499: _FAILED,
    500: _FAILED,
    501: _STRANGER,
    502: _FAILED,
    503: _BUSY,
    504: _FAILED,
}
"""The same where the reason is not known."""

_EXPIRED: Final = (auth.RefreshError, auth.UserAccessTokenError, auth.OAuthError)
_NETWORK: Final = (
    auth.TransportError,
    auth.TimeoutError,
    auth.ResponseError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.PoolError,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.TimeoutError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
)
_DAMAGED: Final = (storage.DataCorruption, media.DataCorruption)
_UNEXPECTED: Final = (storage.InvalidResponse, media.InvalidResponse)
_TRUST: Final = (requests.exceptions.SSLError, urllib3.exceptions.SSLError)
_CERTIFICATE: Final = (auth.MutualTLSChannelError, auth.ClientCertError)


def misconfigured(error: auth.GoogleAuthError) -> Misconfigured:
    """Why there is no use in trying."""
    return Misconfigured(f"there are no Google credentials that work ({_in_one_line(error)}); {_LOG_IN}")


def not_signed(error: auth.TransportError) -> ArtifactError:
    """Google did not sign a link."""
    return ArtifactError(
        f"Google does not sign links for the service account ({_in_one_line(error)}); give it the role Service Account"
        " Token Creator (roles/iam.serviceAccountTokenCreator) on itself"
    )


def artifact_error(error: Exception, what: str) -> ArtifactError:
    """An error of Google's libraries or of the file system, in one sentence. `what` is the URL that the call was
    about."""
    if isinstance(error, ArtifactError):
        return error
    if isinstance(error, api.GoogleAPICallError):
        answer = _of_answer(error)
        return (ArtifactDenied if answer.startswith(_DENIED) else ArtifactError)(f"{what}: {answer}")
    if isinstance(error, _DAMAGED):
        return ArtifactError(f"{what}: {DAMAGED}")
    said = _in_one_line(error)
    if isinstance(error, _UNEXPECTED):
        return ArtifactError(f"{what}: {_STRANGER} ({said})")
    if isinstance(error, api.RetryError):
        return ArtifactError(f"{what}: {_FAILED} ({said})")
    if is_about_time(error):
        return ArtifactError(f"{what}: the Google credentials are refused for the time in them ({said}); {SET_IT}")
    if isinstance(error, _EXPIRED):
        return ArtifactError(f"{what}: the Google credentials have expired or do not work ({said}); {_LOG_IN}")
    if isinstance(error, auth.DefaultCredentialsError):
        return ArtifactError(f"{what}: there are no Google credentials that work ({said}); {_LOG_IN}")
    if isinstance(error, _CERTIFICATE):
        return ArtifactError(
            f"{what}: the client certificate cannot be used ({said}); renew it, or unset"
            " GOOGLE_API_USE_CLIENT_CERTIFICATE"
        )
    if isinstance(error, _TRUST):
        return ArtifactError(
            f"{what}: Cloud Storage cannot be trusted ({said}); check the endpoint, and REQUESTS_CA_BUNDLE"
        )
    if isinstance(error, _NETWORK):
        return ArtifactError(f"{what}: Cloud Storage cannot be reached ({said}); check the network and the endpoint")
    if isinstance(error, OSError) and error.strerror:
        return ArtifactError(
            f"{error.filename or what}: {error.strerror}; see that it exists, may be used and has room"
        )
    return ArtifactError(
        f"{what}: calling Cloud Storage failed ({type(error).__name__}: {said}); check its endpoint, and Google's"
        " settings in the environment"
    )


def _of_answer(error: api.GoogleAPICallError) -> str:
    reason, message = _told(error)
    status = int(error.code or 0)
    if re.search(r"(crc32c|md5).*match", message, re.IGNORECASE):
        advice: str | None = DAMAGED
    else:
        advice = ADVICE.get(reason) or BY_STATUS.get(status) or (_FAILED if status >= 500 or not status else None)
    if advice is not None:
        return f"{advice} ({reason or status or type(error).__name__})"
    return (
        f"Cloud Storage refuses ({reason or status}: {message.rstrip('.') or 'no reason given'}); see its reference of"
        " status codes"
    )


def _told(error: api.GoogleAPICallError) -> tuple[str, str]:
    """Reason and message, each of which may be empty. The answer has them as Google says them, where there is one."""
    told = _Told(message=str(error.message or ""), errors=[*error.errors])
    if error.response is not None:
        told = _Told()
        with contextlib.suppress(msgspec.MsgspecError, KeyError, TypeError):
            told = from_builtins(msgspec.json.decode(error.response.content)["error"], _Told)
    reason = next((each["reason"] for each in told.errors if isinstance(each, dict) and each.get("reason")), "")
    return str(reason).rpartition(".")[2], _in_one_line(told.message)


class _Told(msgspec.Struct):
    message: str = ""
    errors: list[Any] = []


def _in_one_line(text: object) -> str:
    return " ".join(str(text).split())
