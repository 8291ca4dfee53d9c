"""Large files go to S3 in several parts, and nothing is left of an upload that fails or is cancelled."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heliostat.errors import ArtifactError
from heliostat_aws.artifacts import S3ArtifactStore
from heliostat_aws.s3_upload import MOST_PARTS, ONE_PART, Parts

SIZE = 3 * ONE_PART + 1
UPLOAD = ["CreateMultipartUpload", *["UploadPart"] * 4, "CompleteMultipartUpload"]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of four parts, no two alike."""
    path = tmp_path / "large"
    path.write_bytes(b"".join(bytes([number]) * ONE_PART for number in range(4))[:SIZE])
    return path


@pytest.fixture
def nothing_is_left(s3: Any) -> Iterator[None]:
    yield
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="mirrors")


async def until(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.001)


def operations(server: Any) -> list[str]:
    return [request.operation for request in server.requests]


async def test_a_file_above_the_threshold_is_sent_in_parts_side_by_side(
    store: S3ArtifactStore, server: Any, s3: Any, large: Path, tmp_path: Path
) -> None:
    together = threading.Barrier(4)

    def meet(request: Any) -> None:
        if request.operation == "UploadPart":
            together.wait(30)

    server.intervene = meet
    stored = await store.put("film", large)
    server.intervene = lambda request: None
    assert operations(server) == UPLOAD
    assert sorted(request.body for request in server.requests[1:-1]) == [1, ONE_PART, ONE_PART, ONE_PART]
    assert (stored.size, stored.sha256) == (SIZE, hashlib.sha256(large.read_bytes()).hexdigest())
    found = s3.head_object(Bucket="mirrors", Key="heliostat/film", ChecksumMode="ENABLED")
    assert found["Metadata"] == {"heliostat-sha256": stored.sha256}
    assert "ChecksumSHA256" in found
    assert found["ETag"].endswith('-4"')
    assert (await store.get("film", tmp_path / "copy")).sha256 == stored.sha256


async def test_a_file_of_the_threshold_is_sent_in_one_piece(
    store: S3ArtifactStore, server: Any, tmp_path: Path
) -> None:
    (tmp_path / "film").write_bytes(bytes(ONE_PART))
    await store.put("film", tmp_path / "film")
    assert operations(server) == ["PutObject"]


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
async def test_an_upload_that_fails_is_aborted(
    store: S3ArtifactStore, server: Any, large: Path, operation: str
) -> None:
    server.intervene = lambda request: (
        server.error("AccessDenied", "403 Forbidden") if request.operation == operation else None
    )
    with pytest.raises(ArtifactError, match="access is denied"):
        await store.put("film", large)
    assert operations(server)[-1] == "AbortMultipartUpload"
    assert await store.list() == []


@pytest.mark.usefixtures("nothing_is_left")
async def test_a_part_that_fails_for_a_while_is_sent_again(store: S3ArtifactStore, server: Any, large: Path) -> None:
    failures = iter(range(3))

    def fail(request: Any) -> Any:
        busy = request.operation == "UploadPart" and next(failures, None) is not None
        return server.error("SlowDown", "503 Slow Down") if busy else None

    server.intervene = fail
    stored = await store.put("film", large)
    assert stored.sha256 == hashlib.sha256(large.read_bytes()).hexdigest()
    assert server.count("UploadPart") == 7


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("operation", dict.fromkeys(UPLOAD))
async def test_an_upload_that_is_cancelled_leaves_nothing_or_the_whole(
    store: S3ArtifactStore, server: Any, large: Path, operation: str
) -> None:
    """Cancelled, twice, while S3 has one of its requests in hand."""
    reached, released = threading.Event(), threading.Event()

    def hold(request: Any) -> None:
        if request.operation == operation:
            reached.set()
            released.wait(30)

    server.intervene = hold
    putting = asyncio.create_task(store.put("film", large))
    await until(reached)
    for _ in range(2):
        putting.cancel()
        await asyncio.sleep(0)
    assert not putting.done(), "it waits for what is on its way"
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await putting
    whole = operation == "CompleteMultipartUpload"
    assert [artifact.size for artifact in await store.list()] == ([SIZE] if whole else [])
    assert server.count("AbortMultipartUpload") == (0 if whole else 1)
    if operation == "CreateMultipartUpload":
        assert server.count("UploadPart") == 0


@pytest.mark.parametrize("size", [ONE_PART, SIZE])
@pytest.mark.usefixtures("nothing_is_left")
async def test_a_transfer_that_is_cancelled_stops_in_the_middle(
    store: S3ArtifactStore, server: Any, tmp_path: Path, size: int
) -> None:
    (tmp_path / "film").write_bytes(bytes(size))
    reached, released = threading.Event(), threading.Event()

    def hold(arrived: int) -> None:
        if arrived > 1:  # the last part is no more than that
            reached.set()
            released.wait(30)

    server.arriving = hold
    putting = asyncio.create_task(store.put("film", tmp_path / "film"))
    await until(reached)
    putting.cancel()
    await asyncio.sleep(0)
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await putting
    server.arriving = lambda arrived: None
    assert await store.list() == []
    while not server.broken:  # S3 may notice later
        await asyncio.sleep(0.001)
    assert max(server.broken) < ONE_PART


async def test_a_request_that_is_cancelled_is_not_tried_again(
    store: S3ArtifactStore, server: Any, tmp_path: Path
) -> None:
    (tmp_path / "film").write_bytes(b"film")
    reached, released = threading.Event(), threading.Event()

    def hold(request: Any) -> Any:
        reached.set()
        released.wait(30)
        return server.error("SlowDown", "503 Slow Down")

    server.intervene = hold
    putting = asyncio.create_task(store.put("film", tmp_path / "film"))
    await until(reached)
    putting.cancel()
    await asyncio.sleep(0)
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert operations(server) == ["PutObject"]


@pytest.mark.usefixtures("nothing_is_left")
async def test_a_file_that_changes_while_it_is_sent_is_not_stored(
    store: S3ArtifactStore, server: Any, large: Path
) -> None:
    def change(request: Any) -> None:
        if request.operation == "CreateMultipartUpload":
            large.write_bytes(bytes(SIZE))

    server.intervene = change
    with pytest.raises(ArtifactError, match=f"^{large}: the content was damaged on its way, or its file changed"):
        await store.put("film", large)
    assert await store.list() == []


@pytest.mark.usefixtures("nothing_is_left")
async def test_an_upload_that_is_too_late_is_aborted(store: S3ArtifactStore, server: Any, s3: Any, large: Path) -> None:
    """Another has put the artifact between the look whether it is there and the last step."""

    def be_first(request: Any) -> None:
        if request.operation == "CreateMultipartUpload":
            s3.put_object(Bucket="mirrors", Key="heliostat/film", Body=b"first")

    server.intervene = be_first
    told = await store.put("film", large, if_absent=True)
    assert (told.size, told.sha256) == (5, hashlib.sha256(b"first").hexdigest())
    assert server.count("CompleteMultipartUpload") == server.count("AbortMultipartUpload") == 1


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(("size", "operation"), [(4, "PutObject"), (SIZE, "CompleteMultipartUpload")])
async def test_a_conflict_of_conditional_writes_is_tried_again(
    store: S3ArtifactStore, server: Any, tmp_path: Path, size: int, operation: str
) -> None:
    (tmp_path / "film").write_bytes(bytes(size))
    conflicts = iter(range(2))

    def conflict(request: Any) -> Any:
        if request.operation != operation or next(conflicts, None) is None:
            return None
        return server.error("ConditionalRequestConflict", "409 Conflict")

    server.intervene = conflict
    stored = await store.put("film", tmp_path / "film", if_absent=True)
    assert stored.size == size
    assert server.count(operation) == 3


async def test_conflicts_without_end_are_given_up(store: S3ArtifactStore, server: Any, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(b"film")
    server.intervene = lambda request: (
        server.error("ConditionalRequestConflict", "409 Conflict") if request.operation == "PutObject" else None
    )
    with pytest.raises(ArtifactError, match="heliostat/film: somebody else changed it at the same time; try again"):
        await store.put("film", tmp_path / "film", if_absent=True)


async def test_an_upload_that_cannot_be_aborted_is_logged(
    store: S3ArtifactStore, server: Any, large: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.intervene = lambda request: (
        server.error("AccessDenied", "403 Forbidden") if request.operation.startswith(("Upload", "Abort")) else None
    )
    with caplog.at_level(logging.WARNING, "heliostat"), pytest.raises(ArtifactError, match="access is denied"):
        await store.put("film", large)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "an unfinished upload is left for the service to remove"
    ]


def test_no_file_makes_more_parts_than_s3_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliostat_aws.s3_upload.ONE_PART", 1)
    for size in (1, MOST_PARTS, MOST_PARTS + 1, 5 * MOST_PARTS - 1):
        content = bytes(number % 251 for number in range(size))
        (tmp_path / "film").write_bytes(content)
        parts = Parts.of(tmp_path / "film", lambda: None)
        assert len(parts.digests) <= MOST_PARTS
        assert (parts.size, parts.sha256) == (size, hashlib.sha256(content).hexdigest())
        assert b"".join(parts.read(number) for number in range(len(parts.digests))) == content
