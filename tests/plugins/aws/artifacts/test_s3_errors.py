"""Whatever S3 answers, the store says in one sentence what to do."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.session
import pytest

from heliostat.errors import ArtifactDenied, ArtifactError
from heliostat_aws.artifacts import S3ArtifactStore
from heliostat_aws.options import S3Options
from heliostat_aws.s3_errors import ADVICE, artifact_error

ANSWERS = [
    ("NoSuchBucket", "404 Not Found", "the bucket does not exist; create it, or correct the store's URL"),
    ("AccessDenied", "403 Forbidden", "access is denied; `heliostat aws policy` prints what the caller needs"),
    ("ExpiredToken", "400 Bad Request", "the AWS credentials have expired; log in again"),
    ("InvalidAccessKeyId", "403 Forbidden", "AWS does not know these credentials; check AWS_ACCESS_KEY_ID"),
    ("SignatureDoesNotMatch", "403 Forbidden", "the signature is not right; check the secret key"),
    ("RequestTimeTooSkewed", "403 Forbidden", "this machine's clock is wrong; set it"),
    ("SlowDown", "503 Slow Down", "S3 is busy and asks for fewer requests; try again later"),
    ("InternalError", "500 Internal Server Error", "S3 failed; try again later"),
    ("AuthorizationHeaderMalformed", "400 Bad Request", "the bucket lies in another region; give region="),
    ("EntityTooLarge", "400 Bad Request", "it is larger than S3 takes; make the chunks or the film smaller"),
    ("KeyTooLongError", "400 Bad Request", "the key is longer than S3 takes; shorten it"),
    ("BadDigest", "400 Bad Request", "the content was damaged on its way, or its file changed meanwhile; try again"),
    ("KMS.DisabledException", "400 Bad Request", "the bucket's encryption key cannot be used; enable it"),
    ("InvalidObjectState", "403 Forbidden", "it was moved to an archive; restore it there first"),
    ("Novel", "403 Forbidden", r"access is denied; .* \(Novel\)"),
    ("Novel", "418 Teapot", r"S3 refuses \(Novel: planned by a test\); see the S3 API reference, error responses"),
]


@pytest.mark.parametrize(("code", "status", "said"), ANSWERS)
async def test_an_answer_of_s3_becomes_a_sentence(
    store: S3ArtifactStore, server: Any, film: Path, code: str, status: str, said: str
) -> None:
    server.intervene = lambda request: server.error(code, status)
    calls: list[Callable[[], Any]] = [
        lambda: store.put("jobs/1/x", film),
        lambda: store.put("jobs/1/x", film, if_absent=True),
        lambda: store.get("jobs/1/x", film),
        lambda: store.stat("jobs/1/x"),
        lambda: store.list("jobs/1/x"),
        lambda: store.delete("jobs/1/x"),
    ]
    for call in calls:
        with pytest.raises(ArtifactError, match=f"^s3://mirrors/heliostat/jobs/1/x: {said}") as refused:
            await call()
        assert "\n" not in str(refused.value)
    assert film.read_bytes() == b"film"


async def test_what_is_not_there_is_named(store: S3ArtifactStore, film: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"^s3://mirrors/heliostat/x: it does not exist; store it first, or correct"
    ):
        await store.get("x", film)


async def test_a_bucket_that_does_not_exist_is_no_empty_store(
    open_store: Callable[..., S3ArtifactStore], film: Path
) -> None:
    async with open_store("elsewhere/a") as store:
        for call in (store.stat("x"), store.put("x", film), store.get("x", film), store.list(), store.delete("x")):
            with pytest.raises(ArtifactError, match=r"^s3://elsewhere/a.*: the bucket does not exist; create it"):
                await call


async def test_that_something_is_missing_is_asked_once(store: S3ArtifactStore, server: Any) -> None:
    """The reason is asked for separately only until the bucket is known to exist."""
    for key in ("x", "y", "z"):
        assert await store.stat(key) is None
    assert [request.operation for request in server.requests] == ["HeadObject", "GetObject", "HeadObject", "HeadObject"]


async def test_what_fails_for_a_while_is_tried_again(store: S3ArtifactStore, server: Any, film: Path) -> None:
    failures = iter(("SlowDown", "InternalError", "RequestTimeout", "ServiceUnavailable"))
    server.intervene = lambda request: (
        server.error(code, "503 Service Unavailable") if (code := next(failures, None)) else None
    )
    assert (await store.put("x", film)).size == 4
    assert server.count("PutObject") == 5


async def test_a_service_that_cannot_be_reached_is_named(server: Any, film: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with S3ArtifactStore(S3Options(url=f"s3://mirrors?endpoint_url={address}")) as store:
            for call in (store.stat("x"), store.put("x", film), store.get("x", film)):
                with pytest.raises(
                    ArtifactError, match=rf"^s3://mirrors/x: S3 cannot be reached \(.*{address}.*\); check"
                ):
                    await call


async def test_an_endpoint_that_is_no_address_is_named(credentials: None) -> None:
    with pytest.raises(
        ArtifactError, match=r"^s3://mirrors: calling S3 failed \(ValueError: .*nowhere\); check its end"
    ):
        await S3ArtifactStore(S3Options(url="s3://mirrors?endpoint_url=nowhere&region=x")).__aenter__()


async def test_a_disk_that_refuses_is_named(store: S3ArtifactStore, film: Path, tmp_path: Path) -> None:
    await store.put("x", film)
    with pytest.raises(ArtifactError, match="/film/copy: File exists; see that it"):
        await store.get("x", film / "copy")
    with pytest.raises(ArtifactError, match="Is a directory; see that it exists"):
        await store.put("x", tmp_path)


@pytest.mark.parametrize(("code", "is_denied"), [("AccessDenied", True), ("NoSuchKey", False), ("SlowDown", False)])
def test_what_the_caller_may_not_is_told_apart(code: str, is_denied: bool) -> None:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    error = artifact_error(botocore.exceptions.ClientError(answer, "PutObject"), "s3://mirrors/x")
    assert isinstance(error, ArtifactDenied) is is_denied


def test_errors_that_the_sdk_knows_of_are_all_mapped() -> None:
    model = botocore.session.Session().get_service_model("s3")
    used = (
        "AbortMultipartUpload CompleteMultipartUpload CreateMultipartUpload DeleteObjects GetObject HeadObject"
        " ListObjectsV2 PutObject UploadPart"
    )
    modelled = {shape.name for name in used.split() for shape in model.operation_model(name).error_shapes}
    assert modelled - set(ADVICE) == set()


@pytest.mark.parametrize("advice", sorted(set(ADVICE.values())))
def test_an_advice_says_what_to_do(advice: str) -> None:
    assert re.fullmatch(r"[^;.\n]+; [^;\n]+[^.]", advice)


KNOWN = {
    "NoCredentialsError": "there are no AWS credentials that work",
    "PartialCredentialsError": "there are no AWS credentials that work",
    "CredentialRetrievalError": "there are no AWS credentials that work",
    "UnauthorizedSSOTokenError": "there are no AWS credentials that work",
    "LoginRefreshRequired": "there are no AWS credentials that work",
    "SSLError": "S3 cannot be trusted",
    "EndpointConnectionError": "S3 cannot be reached",
    "ReadTimeoutError": "S3 cannot be reached",
    "ConnectTimeoutError": "S3 cannot be reached",
    "ProxyConnectionError": "S3 cannot be reached",
    "IncompleteReadError": "S3 cannot be reached",
    "ResponseStreamingError": "S3 cannot be reached",
    "FlexibleChecksumError": "the content was damaged on its way",
    "ParamValidationError": "S3 cannot be called",
}


def _sdk_errors() -> list[type[Exception]]:
    return [
        error
        for error in vars(botocore.exceptions).values()
        if isinstance(error, type) and issubclass(error, botocore.exceptions.BotoCoreError)
    ]


@pytest.mark.parametrize("kind", _sdk_errors(), ids=lambda kind: kind.__name__)
def test_an_error_of_the_sdk_becomes_a_sentence(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "some\nthing")
    said = str(artifact_error(error, "s3://mirrors/x"))
    assert re.fullmatch(r"s3://mirrors/x: [^\n]+; [^\n]+[^.]", said)
    assert KNOWN.get(kind.__name__, "") in said
