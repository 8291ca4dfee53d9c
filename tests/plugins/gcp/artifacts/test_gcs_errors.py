"""Whatever Cloud Storage answers, the store says in one sentence what to do."""

from __future__ import annotations

import errno
import http.client
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import google.api_core.exceptions
import google.auth.exceptions
import google.cloud.storage.exceptions
import google.resumable_media
import pytest
import requests
import urllib3.exceptions
from strict_gcs import Answer, StrictGcs, error

from heliostat.errors import ArtifactError
from heliostat_gcp.artifacts import GcsArtifactStore
from heliostat_gcp.gcs_errors import ADVICE, BY_STATUS, PASSING, artifact_error
from heliostat_gcp.gcs_retries import TRIES
from heliostat_gcp.options import GcsOptions

ANSWERS = [
    (404, "notFound", "the bucket does not exist; create it, or correct the store's URL"),
    (403, "forbidden", r"access is denied; give the caller the role Storage Object User \(roles/storage.objectUser\)"),
    (401, "required", r"there are no Google credentials that work \(.*\); log in with `gcloud"),
    (400, "userProjectMissing", "the bucket lets whoever asks pay; give project=… in the store's URL"),
    (403, "usageLimits.accessNotConfigured", "the project has the API of Cloud Storage switched off; enable it"),
    (403, "accountDisabled", "Google has a problem with the account or its billing; see the messages in its console"),
    (403, "quotaExceeded", "the project's quota is used up; ask Google for a larger one, or try again later"),
    (403, "retentionPolicyNotMet", "the bucket keeps its objects from being changed; use one without"),
    (400, "cloudKmsDisabledKey", "the bucket's encryption key cannot be used; enable it"),
    (413, "uploadTooLarge", "it is larger than Cloud Storage takes; make the chunks or the film smaller"),
    (429, "rateLimitExceeded", "Cloud Storage is busy and asks for fewer requests; try again later"),
    (503, "backendError", "Cloud Storage failed; try again later"),
    (503, "", "Cloud Storage is busy and asks for fewer requests; try again later"),
    (500, "novel", r"Cloud Storage failed; try again later \(novel\)"),
    (403, "novel", r"access is denied; .* \(novel\)"),
    (418, "novel", r"Cloud Storage refuses \(novel: planned by a test\); see its reference of status codes"),
    (400, "", r"Cloud Storage refuses \(400: planned by a test\); see its reference of status codes"),
]


def calls(store: GcsArtifactStore, film: Path) -> Iterator[Callable[[], Any]]:
    """All that may fail with an answer."""
    yield lambda: store.put("jobs/1/x", film)
    yield lambda: store.put("jobs/1/x", film, if_absent=True)
    yield lambda: store.get("jobs/1/x", film)
    yield lambda: store.stat("jobs/1/x")
    yield lambda: store.list("jobs/1/x")
    yield lambda: store.delete("jobs/1/x")


@pytest.mark.parametrize(("status", "reason", "said"), ANSWERS)
async def test_an_answer_of_cloud_storage_becomes_a_sentence(
    store: GcsArtifactStore, server: StrictGcs, film: Path, status: int, reason: str, said: str
) -> None:
    server.intervene = lambda request: error(status, reason)
    for call in calls(store, film):
        server.requests.clear()
        with pytest.raises(ArtifactError, match=f"^{store.url}/jobs/1/x: {said}") as refused:
            await call()
        assert "\n" not in str(refused.value)
        once = 2 if server.operations == ["get", "list"] else 1
        assert len(server.requests) == (TRIES if status in PASSING else once)
    assert film.read_bytes() == b"film"


@pytest.mark.parametrize("operation", ["begin", "receive_rest", "batch", "media"])
async def test_so_does_an_answer_in_the_middle(
    store: GcsArtifactStore, server: StrictGcs, film: Path, tmp_path: Path, operation: str
) -> None:
    await store.put("film", film)
    (tmp_path / "large").write_bytes(bytes(store.one_piece + 1))
    server.intervene = lambda request: error(403, "forbidden") if request.operation == operation else None
    call = {
        "begin": lambda: store.put("large", tmp_path / "large"),
        "receive_rest": lambda: store.put("large", tmp_path / "large"),
        "batch": lambda: store.delete("film"),
        "media": lambda: store.get("film", tmp_path / "copy"),
    }[operation]
    with pytest.raises(ArtifactError, match=rf"^{store.url}/(film|large): access is denied; give the caller the role"):
        await call()


@pytest.mark.parametrize("body", [b"", b"<html>\nProxy error</html>", b"[]", b'{"error": {}}'])
async def test_an_answer_of_somebody_else_becomes_a_sentence_too(
    store: GcsArtifactStore, server: StrictGcs, film: Path, body: bytes
) -> None:
    server.intervene = lambda request: Answer(502, body)
    for call in calls(store, film):
        with pytest.raises(ArtifactError, match=f"^{store.url}/jobs/1/x: Cloud Storage failed; try again later"):
            await call()


async def test_what_is_not_there_is_named(store: GcsArtifactStore, film: Path) -> None:
    with pytest.raises(ArtifactError, match=f"^{store.url}/x: it does not exist; store it first, or correct the key"):
        await store.get("x", film)


async def test_a_bucket_that_does_not_exist_is_no_empty_store(server: StrictGcs, film: Path) -> None:
    film.with_name("large").write_bytes(bytes(GcsArtifactStore.one_piece + 1))
    async with GcsArtifactStore(GcsOptions(url="gs://nowhere/a")) as store:
        for call in (*calls(store, film), lambda: store.put("large", film.with_name("large"))):
            with pytest.raises(ArtifactError, match=r"^gcs://nowhere/a.*: the bucket does not exist; create it, or"):
                await call()


async def test_what_fails_for_a_while_is_tried_again(store: GcsArtifactStore, server: StrictGcs, film: Path) -> None:
    failures = iter((503, 429, 500, 408, 502))
    server.intervene = lambda request: error(status) if (status := next(failures, None)) else None
    assert (await store.put("x", film)).size == 4
    assert server.count("insert") == TRIES


async def test_a_service_that_cannot_be_reached_is_named(store: GcsArtifactStore, film: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with GcsArtifactStore(GcsOptions(url=f"gs://mirrors?endpoint_url={address}")) as store:
            for call in calls(store, film):
                with pytest.raises(
                    ArtifactError, match=r"^gcs://mirrors/jobs/1/x: Cloud Storage cannot be reached \(.*\); check the"
                ) as refused:
                    await call()
                assert address.rpartition(":")[2] in str(refused.value)


async def test_a_disk_that_refuses_is_named(store: GcsArtifactStore, film: Path, tmp_path: Path) -> None:
    await store.put("x", film)
    with pytest.raises(ArtifactError, match="/film/copy: File exists; see that it exists, may be used and has room"):
        await store.get("x", film / "copy")
    with pytest.raises(ArtifactError, match="Is a directory; see that it exists"):
        await store.put("x", tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
async def test_a_disk_that_is_full_is_named_and_asked_once(
    store: GcsArtifactStore, server: StrictGcs, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is written to it."""
    await store.put("x", film)
    server.requests.clear()
    monkeypatch.setattr("heliostat.worker.unfinished.open", _on_a_full_disk, raising=False)
    with pytest.raises(ArtifactError, match=f"^{tmp_path}/copy: No space left on device; see that it exists"):
        await store.get("x", tmp_path / "copy")
    assert server.operations == ["get", "media"]


def _on_a_full_disk(path: Path, mode: str) -> IO[bytes]:
    return open("/dev/full", "wb", 0)


# --- nothing is left out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("advice", sorted({*ADVICE.values(), *BY_STATUS.values()}))
def test_an_advice_says_what_to_do(advice: str) -> None:
    assert re.fullmatch(r"[^;\n]+; [^;\n]+[^.]", advice)


def test_all_that_passes_has_an_advice() -> None:
    assert set(BY_STATUS) >= PASSING


NOT_REACHED = "Cloud Storage cannot be reached"
EXPIRED = "the Google credentials have expired"
NONE_THAT_WORK = "there are no Google credentials that work"
CERTIFICATE = "the client certificate cannot be used"
FAILED = "Cloud Storage failed"
STRANGER = "the service is not Cloud Storage"
CALLING = "calling Cloud Storage failed"
DAMAGED = "the content was damaged on its way"

KNOWN = {
    "google.auth.exceptions": {
        "GoogleAuthError": CALLING,
        "TransportError": NOT_REACHED,
        "TimeoutError": NOT_REACHED,
        "ResponseError": NOT_REACHED,
        "RefreshError": EXPIRED,
        "ReauthFailError": EXPIRED,
        "ReauthSamlChallengeFailError": EXPIRED,
        "UserAccessTokenError": EXPIRED,
        "OAuthError": EXPIRED,
        "DefaultCredentialsError": NONE_THAT_WORK,
        "MalformedError": NONE_THAT_WORK,
        "InvalidResource": NONE_THAT_WORK,
        "InvalidOperation": NONE_THAT_WORK,
        "InvalidValue": NONE_THAT_WORK,
        "InvalidType": NONE_THAT_WORK,
        "OSError": NONE_THAT_WORK,
        "MutualTLSChannelError": CERTIFICATE,
        "ClientCertError": CERTIFICATE,
    },
    "google.cloud.storage.exceptions": {
        "InvalidPathError": CALLING,
        "InvalidResponse": STRANGER,
        "DataCorruption": DAMAGED,
    },
    "google.resumable_media": {"InvalidResponse": STRANGER, "DataCorruption": DAMAGED},
    "google.api_core.exceptions": {
        "GoogleAPIError": CALLING,
        "DuplicateCredentialArgs": CALLING,
        "AsyncRestUnsupportedParameterError": CALLING,
        "RetryError": FAILED,
        # Without a status, these say that something went wrong with a call.
        "GoogleAPICallError": FAILED,
        "DataLoss": FAILED,
        "Unknown": FAILED,
        "Redirection": FAILED,
        "ClientError": FAILED,
        "ServerError": FAILED,
        "ResumableTransferError": FAILED,
        "TransferStalledError": FAILED,
        "UnseekableStreamError": FAILED,
        "UploadCancelledError": FAILED,
        "MissingStatusHeaderError": FAILED,
    },
}
"""By module, what each error becomes that has no HTTP status."""


def _errors(module: ModuleType) -> Iterator[type[Exception]]:
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, Exception):
            yield kind


SDK = [
    (module.__name__, kind)
    for module in (
        google.auth.exceptions,
        google.cloud.storage.exceptions,
        google.resumable_media,
        google.api_core.exceptions,
    )
    for kind in _errors(module)
    if kind.__module__.startswith(module.__name__)
]


@pytest.mark.parametrize(("module", "kind"), SDK, ids=lambda given: given if isinstance(given, str) else given.__name__)
def test_an_error_that_the_sdk_knows_of_has_its_place(module: str, kind: type[Exception]) -> None:
    """One that is new has none: give it one in `gcs_errors`, then here."""
    status = getattr(kind, "code", None)
    if status is not None:
        assert int(status) in BY_STATUS or int(status) == 400, f"{kind.__name__} is mapped nowhere"
    else:
        assert kind.__name__ in KNOWN[module], f"{kind.__name__} is mapped nowhere"
    said = str(artifact_error(_made(kind), "gcs://mirrors/x"))
    assert re.fullmatch(r"gcs://mirrors/x: [^\n]+; [^\n]+[^.]", said)
    if status is None:
        assert KNOWN[module][kind.__name__] in said


def test_every_place_is_that_of_an_error() -> None:
    """Nothing is listed that the SDK does not have; errors that it has gained of late are not asked of an older one."""
    assert {module for module, _ in SDK} == set(KNOWN)
    assert len(SDK) > 50


def _made(kind: type[Exception]) -> Exception:
    if issubclass(kind, google.resumable_media.InvalidResponse | google.resumable_media.DataCorruption):
        return kind(requests.Response(), "some\nthing")
    if issubclass(kind, google.api_core.exceptions.RetryError):
        return kind("some\nthing", ValueError("cause"))
    return kind("some\nthing")


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        (requests.ConnectionError("some\nthing"), NOT_REACHED),
        (requests.Timeout("x"), NOT_REACHED),
        (requests.exceptions.ChunkedEncodingError("x"), NOT_REACHED),
        (requests.exceptions.SSLError("x"), "Cloud Storage cannot be trusted"),
        (requests.exceptions.InvalidURL("x"), CALLING),
        (urllib3.exceptions.ProtocolError("x"), NOT_REACHED),
        (urllib3.exceptions.ReadTimeoutError(None, "u", "x"), NOT_REACHED),  # type: ignore[arg-type]
        (http.client.IncompleteRead(b""), NOT_REACHED),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), NOT_REACHED),
        (ConnectionError("x"), NOT_REACHED),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/disk/film"), "No space left on device; see that it"),
        (ValueError("x"), f"{CALLING} (ValueError: x)"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_errors_below_google_s_become_sentences_too(foreign: Exception, said: str) -> None:
    sentence = str(artifact_error(foreign, "gcs://mirrors/x"))
    assert said in sentence
    assert "\n" not in sentence
    assert "; " in sentence
