"""Large files go to Cloud Storage in an upload that goes on where it broke, and leaves nothing when it is given up."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strict_gcs import GRAIN, Answer, Request, StrictGcs, error

from heliostat.errors import ArtifactError
from heliostat_gcp import gcs_retries
from heliostat_gcp.artifacts import GcsArtifactStore
from heliostat_gcp.gcs_retries import TRIES

ONE_PIECE = GcsArtifactStore.one_piece
SIZE = ONE_PIECE + 3 * GRAIN + 1
UPLOAD = ["begin", "receive_rest"]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """No two of its blocks are alike."""
    path = tmp_path / "large"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def until(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.001)


def ranges(server: StrictGcs) -> list[str]:
    return [request.range.partition("/")[0] for request in server.requests if request.operation != "begin"]


def hanging_up(*places: int) -> Callable[[str, int], bool]:
    """Breaks the connection the first time that so many bytes have come in one request, then the next time."""
    left = list(places)

    def hang_up(operation: str, arrived: int) -> bool:
        if operation == "receive_rest" and left and arrived >= left[0]:
            left.pop(0)
            return True
        return False

    return hang_up


async def test_a_file_above_the_threshold_is_sent_in_an_upload_of_its_own(
    store: GcsArtifactStore, server: StrictGcs, bucket: Any, large: Path, tmp_path: Path
) -> None:
    stored = await store.put("film", large)
    assert server.operations == UPLOAD
    assert ranges(server) == [f"bytes 0-{SIZE - 1}"]
    assert (stored.size, stored.sha256) == (SIZE, digest(large))
    blob = bucket.get_blob("heliostat/film")
    assert blob.metadata == {"heliostat-sha256": stored.sha256}
    assert stored == await store.stat("film") == await store.get("film", tmp_path / "copy")
    assert digest(tmp_path / "copy") == stored.sha256


async def test_a_file_of_the_threshold_is_sent_in_one_piece(
    store: GcsArtifactStore, server: StrictGcs, tmp_path: Path
) -> None:
    (tmp_path / "film").write_bytes(bytes(ONE_PIECE))
    await store.put("film", tmp_path / "film")
    assert server.operations == ["insert"]


# --- what breaks ------------------------------------------------------------------------------------------------------


async def test_an_upload_that_breaks_goes_on_where_it_broke(
    store: GcsArtifactStore, server: StrictGcs, large: Path
) -> None:
    """More often than a call is tried that gets no further."""
    server.hang_up = hanging_up(1, *[GRAIN] * (2 * TRIES))
    assert (await store.put("film", large)).sha256 == digest(large)
    assert len(server.broken) == 2 * TRIES + 1
    assert ranges(server)[-1] != f"bytes 0-{SIZE - 1}"
    assert server.operations == ["begin", *["status"] * (2 * TRIES + 1), "receive_rest"]
    assert sum(server.broken) + len(server.requests[-1].body) < SIZE + (2 * TRIES + 1) * (2 << 20), "not all again"


async def test_an_upload_that_keeps_breaking_is_given_up_and_cancelled(
    store: GcsArtifactStore, server: StrictGcs, large: Path
) -> None:
    server.hang_up = lambda operation, arrived: operation == "receive_rest"
    server.alter = lambda request, answer: Answer(308) if request.operation == "status" else answer
    with pytest.raises(ArtifactError, match=r"heliostat/film: Cloud Storage cannot be reached \(.*\); check the netw"):
        await store.put("film", large)
    assert len(server.broken) == TRIES
    assert server.operations[-1] == "cancel"
    assert server.uploads == {}


async def test_an_upload_whose_last_answer_is_lost_is_complete(
    store: GcsArtifactStore, server: StrictGcs, large: Path
) -> None:
    """Also when it was to be made only if absent, and now is there."""
    for key, if_absent in (("a", False), ("b", True)):
        cuts = iter((0,))
        server.cut = lambda request, cuts=cuts: next(cuts, None) if request.operation == "receive_rest" else None
        server.requests.clear()
        stored = await store.put(key, large, if_absent=if_absent)
        assert stored == await store.stat(key)
        assert server.count("status") == 1


async def test_what_fails_for_a_while_is_tried_again(store: GcsArtifactStore, server: StrictGcs, large: Path) -> None:
    failures = {"begin": iter((503, 429)), "receive_rest": iter((503, 500, 408)), "status": iter((502, 504))}
    server.intervene = lambda request: (
        error(status) if (status := next(failures.get(request.operation, iter(())), None)) else None
    )
    assert (await store.put("film", large)).sha256 == digest(large)
    assert (server.count("begin"), server.count("receive_rest"), server.count("status")) == (3, 4, 5)


async def test_an_upload_that_is_lost_begins_anew(store: GcsArtifactStore, server: StrictGcs, large: Path) -> None:
    def lose(request: Request) -> None:
        if request.operation == "status" and server.count("begin") == 1:
            server.uploads.clear()

    server.hang_up = hanging_up(2 * GRAIN)
    server.intervene = lose
    assert (await store.put("film", large)).sha256 == digest(large)
    assert server.operations == ["begin", "status", "begin", "receive_rest"]
    assert ranges(server)[-1] == f"bytes 0-{SIZE - 1}"


async def test_an_upload_that_is_lost_again_and_again_is_given_up(
    store: GcsArtifactStore, server: StrictGcs, large: Path
) -> None:
    server.intervene = lambda request: Answer(410) if request.operation == "receive_rest" else None
    with pytest.raises(ArtifactError, match="Cloud Storage has lost the upload"):
        await store.put("film", large)
    assert server.count("receive_rest") == TRIES


async def test_an_upload_of_which_only_a_part_was_taken_goes_on(
    store: GcsArtifactStore, server: StrictGcs, large: Path
) -> None:
    taken = iter((1,))

    def take_a_part(request: Request) -> Answer | None:
        if request.operation != "receive_rest" or next(taken, None) is None:
            return None
        server.uploads[request.query["upload_id"]].arrived += request.body[:GRAIN]
        return Answer(308, headers={"Range": f"bytes=0-{GRAIN - 1}"})

    server.intervene = take_a_part
    assert (await store.put("film", large)).sha256 == digest(large)
    assert ranges(server) == [f"bytes 0-{SIZE - 1}", f"bytes {GRAIN}-{SIZE - 1}"]


@pytest.mark.parametrize("operation", UPLOAD)
async def test_an_upload_that_fails_leaves_nothing(
    store: GcsArtifactStore, server: StrictGcs, large: Path, operation: str
) -> None:
    server.intervene = lambda request: error(403, "forbidden") if request.operation == operation else None
    with pytest.raises(ArtifactError, match="access is denied"):
        await store.put("film", large)
    assert server.uploads == {}
    assert await store.list() == []


async def test_an_upload_that_cannot_be_cancelled_is_logged(
    store: GcsArtifactStore, server: StrictGcs, large: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.intervene = lambda request: error(403) if request.operation in ("receive_rest", "cancel") else None
    with caplog.at_level(logging.WARNING, "heliostat"), pytest.raises(ArtifactError, match="access is denied"):
        await store.put("film", large)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "an unfinished upload is left for the service to remove"
    ]


async def test_the_address_of_an_upload_is_told_no_credentials(
    store: GcsArtifactStore, server: StrictGcs, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one itself, and whoever gave it might lead elsewhere."""
    session = store._open_objects._session
    monkeypatch.setattr(session.credentials, "apply", lambda headers, token=None: headers.update(Authorization="x"))
    monkeypatch.setattr(session.credentials, "before_request", lambda *given: given[-1].update(Authorization="x"))
    await store.put("film", large)
    assert [request.headers.get("authorization") for request in server.requests] == ["x", None]


# --- cancellation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", UPLOAD)
async def test_an_upload_that_is_cancelled_leaves_nothing_or_the_whole(
    store: GcsArtifactStore, server: StrictGcs, large: Path, operation: str
) -> None:
    """Cancelled, twice, while Cloud Storage has one of its requests in hand."""
    reached, released = threading.Event(), threading.Event()

    def hold(request: Request) -> None:
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
    whole = operation == "receive_rest"
    assert [artifact.size for artifact in await store.list()] == ([SIZE] if whole else [])
    assert server.count("cancel") == (0 if whole else 1)
    assert [upload for upload in server.uploads.values() if upload.outcome is None] == []


@pytest.mark.parametrize("size", [ONE_PIECE, SIZE])
async def test_a_transfer_that_is_cancelled_stops_in_the_middle(
    store: GcsArtifactStore, server: StrictGcs, tmp_path: Path, size: int
) -> None:
    (tmp_path / "film").write_bytes(bytes(size))
    reached, released = threading.Event(), threading.Event()

    def hold(operation: str, arrived: int) -> bool:
        if operation != "begin":
            reached.set()
            released.wait(30)
        return False

    server.hang_up = hold
    putting = asyncio.create_task(store.put("film", tmp_path / "film"))
    await until(reached)
    putting.cancel()
    await asyncio.sleep(0)
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await store.list() == []
    while not server.broken:  # Cloud Storage may notice later
        await asyncio.sleep(0.001)
    assert max(server.broken) < ONE_PIECE
    assert server.uploads == {}


async def test_a_request_that_is_cancelled_is_not_tried_again(
    store: GcsArtifactStore, server: StrictGcs, tmp_path: Path
) -> None:
    (tmp_path / "film").write_bytes(b"film")
    reached, released = threading.Event(), threading.Event()

    def hold(request: Request) -> Answer:
        reached.set()
        released.wait(30)
        return error(503)

    server.intervene = hold
    putting = asyncio.create_task(store.put("film", tmp_path / "film"))
    await until(reached)
    putting.cancel()
    await asyncio.sleep(0)
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert server.operations == ["insert"]


async def test_nobody_waits_for_the_next_try_of_what_is_cancelled(
    store: GcsArtifactStore, server: StrictGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_retries.random, "uniform", lambda least, most: 100.0)
    (tmp_path / "film").write_bytes(b"film")
    server.intervene = lambda request: error(503)
    putting = asyncio.create_task(store.put("film", tmp_path / "film"))
    while not server.requests:
        await asyncio.sleep(0.001)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(putting, 50)
    assert server.operations == ["insert"]


# --- others, meanwhile ------------------------------------------------------------------------------------------------


async def test_a_file_that_changes_while_it_is_sent_is_not_stored(
    store: GcsArtifactStore, server: StrictGcs, large: Path
) -> None:
    def change(request: Request) -> None:
        if request.operation == "begin":
            large.write_bytes(bytes(SIZE))

    server.intervene = change
    with pytest.raises(ArtifactError, match="film: the content was damaged on its way, or its file changed meanwhile"):
        await store.put("film", large)
    assert await store.list() == []


async def test_a_file_that_becomes_shorter_while_it_is_sent_is_not_stored(
    store: GcsArtifactStore, server: StrictGcs, large: Path
) -> None:
    def change(request: Request) -> None:
        if request.operation == "begin":
            large.write_bytes(bytes(SIZE - GRAIN))

    server.intervene = change
    with pytest.raises(ArtifactError, match=f"^{large}: the content was damaged on its way, or its file changed"):
        await store.put("film", large)
    assert server.uploads == {}
    assert await store.list() == []


async def test_an_upload_that_is_too_late_leaves_what_is_there(
    store: GcsArtifactStore, server: StrictGcs, bucket: Any, large: Path
) -> None:
    """Another has put the artifact between the look whether it is there and the last step."""

    def be_first(request: Request) -> None:
        if request.operation == "receive_rest":
            bucket.blob("heliostat/film").upload_from_string(b"first")

    server.intervene = be_first
    told = await store.put("film", large, if_absent=True)
    assert (told.size, told.sha256) == (5, hashlib.sha256(b"first").hexdigest())
    assert server.count("begin") == server.count("receive_rest") == 1


@pytest.mark.parametrize("status", [409, 412])
@pytest.mark.parametrize("operation", ["insert", *UPLOAD])
async def test_a_conflict_of_conditional_writes_is_tried_again(
    store: GcsArtifactStore, server: StrictGcs, large: Path, operation: str, status: int
) -> None:
    if operation == "insert":
        large.write_bytes(b"film")
    conflicts = iter(range(2))
    server.intervene = lambda request: (
        error(status) if request.operation == operation and next(conflicts, None) is not None else None
    )
    stored = await store.put("film", large, if_absent=True)
    assert stored.sha256 == digest(large)
    assert server.count(operation) == 3


async def test_conflicts_without_end_are_given_up(store: GcsArtifactStore, server: StrictGcs, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(b"film")
    server.intervene = lambda request: error(412, "conditionNotMet") if request.operation == "insert" else None
    with pytest.raises(ArtifactError, match="heliostat/film: somebody else changed it at the same time; try again"):
        await store.put("film", tmp_path / "film", if_absent=True)
