"""What goes wrong with S3, as ArtifactErrors that say what to do. The only place where errors of S3 are mapped.

Source of the codes: "Error responses" in the Amazon S3 API reference.
"""

from __future__ import annotations

from typing import Any, Final

from botocore import exceptions as botocore

from heliostat.errors import ArtifactError
from heliostat.worker import DAMAGED, MEANWHILE

_LOG_IN: Final = "the AWS credentials have expired; log in again, for example with `aws sso login`"
_WHO: Final = "AWS does not know these credentials; check AWS_ACCESS_KEY_ID, or the profile"
_DENIED: Final = (
    "access is denied; `heliostat aws policy` prints what the caller needs to be allowed, which includes listing the"
    " bucket"
)
_BUSY: Final = "S3 is busy and asks for fewer requests; try again later, or let fewer workers run at once"
_ELSEWHERE: Final = "the bucket lies in another region; give region=… in the store's URL, or set AWS_REGION"
_KMS: Final = "the bucket's encryption key cannot be used; enable it, or give the bucket another"
_ENDED: Final = "the upload was removed while it ran; try again, and let no lifecycle rule end uploads within a day"

ADVICE: Final = {
    "NoSuchBucket": "the bucket does not exist; create it, or correct the store's URL",
    "InvalidBucketName": "that is no name of a bucket; correct the store's URL",
    "NoSuchKey": "it does not exist; store it first, or correct the key",
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AccountProblem": "AWS has a problem with the account; see the messages in its console",
    "NotSignedUp": "AWS has a problem with the account; see the messages in its console",
    "ExpiredToken": _LOG_IN,
    "ExpiredTokenException": _LOG_IN,
    "TokenRefreshRequired": _LOG_IN,
    "RequestExpired": _LOG_IN,
    "InvalidAccessKeyId": _WHO,
    "InvalidToken": _WHO,
    "InvalidSecurity": _WHO,
    "UnrecognizedClientException": _WHO,
    "SignatureDoesNotMatch": "the signature is not right; check the secret key, or the profile",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "SlowDown": _BUSY,
    "Throttling": _BUSY,
    "ThrottlingException": _BUSY,
    "TooManyRequestsException": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "BandwidthLimitExceeded": _BUSY,
    "ServiceUnavailable": _BUSY,
    "PermanentRedirect": _ELSEWHERE,
    "TemporaryRedirect": _ELSEWHERE,
    "Redirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
    "EntityTooLarge": "it is larger than S3 takes; make the chunks or the film smaller",
    "EntityTooSmall": DAMAGED,
    "TooManyParts": "it is larger than S3 takes; make the chunks or the film smaller",
    "KeyTooLongError": "the key is longer than S3 takes; shorten it, or the store's prefix",
    "PreconditionFailed": MEANWHILE,
    "ConditionalRequestConflict": MEANWHILE,
    "OperationAborted": MEANWHILE,
    "InvalidRange": MEANWHILE,
    "NoSuchUpload": _ENDED,
    "InvalidPart": _ENDED,
    "InvalidPartOrder": _ENDED,
    "BadDigest": DAMAGED,
    "InvalidDigest": DAMAGED,
    "XAmzContentChecksumMismatch": DAMAGED,
    "XAmzContentSHA256Mismatch": DAMAGED,
    "IncompleteBody": DAMAGED,
    "RequestTimeout": "the network is too slow for the transfer; try again, or let fewer workers run at once",
    "InvalidObjectState": "it was moved to an archive; restore it there first",
    "ObjectLockConfigurationNotFoundError": "the bucket locks its objects; use one that does not",
    "InvalidRequest": "the bucket refuses such requests; use one without object lock and append-only rules",
    "InvalidWriteOffset": "the bucket refuses such requests; use one without object lock and append-only rules",
    "EncryptionTypeMismatch": "the bucket wants another encryption; make encryption its default",
    "NotImplemented": "the service is not S3, or not all of it; use one that knows conditional writes and checksums",
    "MethodNotAllowed": "the service is not S3, or not all of it; use one that knows conditional writes and checksums",
    "KMS.DisabledException": _KMS,
    "KMS.InvalidKeyUsageException": _KMS,
    "KMS.KMSInvalidStateException": _KMS,
    "KMS.NotFoundException": _KMS,
}
"""What is the matter and what to do, by the error's code."""

_BY_STATUS: Final = {
    301: ADVICE["PermanentRedirect"],
    307: ADVICE["TemporaryRedirect"],
    401: _WHO,
    403: _DENIED,
    404: ADVICE["NoSuchKey"],
    409: MEANWHILE,
    412: MEANWHILE,
    429: _BUSY,
    503: _BUSY,
}
_CREDENTIALS: Final = (
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.NoAuthTokenError,
    botocore.TokenRetrievalError,
    botocore.MetadataRetrievalError,
    botocore.SSOError,
    botocore.LoginError,
)
_NETWORK: Final = (
    botocore.HTTPClientError,
    botocore.ConnectionError,
    botocore.ResponseStreamingError,
    botocore.IncompleteReadError,
)


def artifact_error(error: Exception, what: str) -> ArtifactError:
    """An error of boto3 or of the file system, in one sentence. `what` is the URL that the call was about."""
    if isinstance(error, ArtifactError):
        return error
    if isinstance(error, botocore.ClientError):
        return ArtifactError(f"{what}: {_of_answer(error)}")
    said = _in_one_line(str(error))
    if isinstance(error, _CREDENTIALS):
        return ArtifactError(f"{what}: there are no AWS credentials that work ({said}); log in, or set AWS_PROFILE")
    if isinstance(error, botocore.SSLError):
        return ArtifactError(f"{what}: S3 cannot be trusted ({said}); check the endpoint, and AWS_CA_BUNDLE")
    if isinstance(error, _NETWORK):
        return ArtifactError(f"{what}: S3 cannot be reached ({said}); check the network, the region and the endpoint")
    if isinstance(error, botocore.ChecksumError | botocore.FlexibleChecksumError):
        return ArtifactError(f"{what}: {DAMAGED}")
    if isinstance(error, botocore.BotoCoreError):
        return ArtifactError(f"{what}: S3 cannot be called ({said}); correct the store's URL, or the AWS settings")
    if isinstance(error, OSError) and error.strerror:
        return ArtifactError(
            f"{error.filename or what}: {error.strerror}; see that it exists, may be used and has room"
        )
    return ArtifactError(f"{what}: calling S3 failed ({type(error).__name__}: {said}); check its endpoint")


def code_of(error: Any) -> str:
    """The code of a ClientError, such as `NoSuchKey`; for an answer without a body the status, such as `404`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: Any) -> int:
    """The HTTP status of a ClientError; 0 when there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _of_answer(error: botocore.ClientError) -> str:
    code, status = code_of(error), status_of(error)
    advice = ADVICE.get(code) or _BY_STATUS.get(status)
    if advice is None and status >= 500:
        advice = "S3 failed; try again later"
    if advice is not None:
        return f"{advice} ({code})"
    said = _in_one_line(str(error.response.get("Error", {}).get("Message") or "no reason given")).rstrip(".")
    return f"S3 refuses ({code}: {said}); see the S3 API reference, error responses"


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
