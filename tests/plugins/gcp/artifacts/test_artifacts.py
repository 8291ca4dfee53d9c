"""The artifact store `gcs`: what its contract does not say."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from strict_gcs import Answer, Request, StrictGcs, error

from heliostat import open_artifact_store
from heliostat.errors import ArtifactError
from heliostat_gcp.artifacts import GcsArtifactStore
from heliostat_gcp.gcs_retries import TRIES
from heliostat_gcp.options import GcsOptions

ONE_PIECE = GcsArtifactStore.one_piece


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def keep(bucket: Any, key: str, content: bytes, **metadata: str) -> Any:
    """Store it as another tool would."""
    blob = bucket.blob(key)
    blob.metadata = metadata or None
    blob.upload_from_string(content)
    return blob


# --- what is stored ---------------------------------------------------------------------------------------------------


async def test_an_artifact_is_an_object_that_carries_its_digest(
    store: GcsArtifactStore, bucket: Any, film: Path
) -> None:
    await store.put("jobs/1/part.mp4", film)
    blob = bucket.get_blob("heliostat/jobs/1/part.mp4")
    assert blob.metadata == {"heliostat-sha256": digest(b"film")}
    assert blob.crc32c == b64encode(google_crc32c.Checksum(b"film").digest()).decode()


async def test_a_time_is_that_of_cloud_storage(store: GcsArtifactStore, bucket: Any, film: Path) -> None:
    put = await store.put("film", film)
    assert put == await store.stat("film")
    assert put.modified_at == bucket.get_blob("heliostat/film").time_created
    assert put.modified_at.tzinfo is UTC


async def test_a_small_file_takes_one_request_and_no_new_connection(
    store: GcsArtifactStore, server: StrictGcs, film: Path
) -> None:
    await asyncio.gather(*(store.put(f"jobs/1/{number}", film) for number in range(100)))
    assert server.operations == ["insert"] * 100
    assert server.connections <= GcsArtifactStore.at_once


async def test_what_is_there_is_not_sent_again(store: GcsArtifactStore, server: StrictGcs, tmp_path: Path) -> None:
    for size in (4, ONE_PIECE + 1):
        source = tmp_path / "source"
        source.write_bytes(bytes(size))
        stored = await store.put(f"inputs/{size}", source, if_absent=True)
        server.requests.clear()
        assert await store.put(f"inputs/{size}", source, if_absent=True) == stored
        assert server.operations == ["get"]


async def test_a_content_that_cloud_storage_finds_damaged_is_not_stored(
    store: GcsArtifactStore, server: StrictGcs, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged by whoever lies in between: here on its way into the server."""
    keep_whole = server.RequestHandlerClass._store

    def damage(handler: Any, path: str, query: Any, metadata: bytes, content: bytes) -> Answer:
        return keep_whole(handler, path, query, metadata, content.replace(b"i", b"1"))

    monkeypatch.setattr(server.RequestHandlerClass, "_store", damage)
    with pytest.raises(ArtifactError, match=f"^{store.url}/film: the content was damaged on its way"):
        await store.put("film", film)
    assert await store.list() == []


async def test_stores_in_one_bucket_see_nothing_of_each_other(
    open_store: Callable[..., GcsArtifactStore], bucket: Any, tmp_path: Path
) -> None:
    keep(bucket, "film", b"outside")
    async with open_store("/a") as one, open_store("/ab/") as two, open_store("") as all_:
        for store, content in ((one, b"one"), (two, b"two")):
            (tmp_path / "source").write_bytes(content)
            await store.put("film", tmp_path / "source")
        for store, content in ((one, b"one"), (two, b"two"), (all_, b"outside")):
            await store.get("film", tmp_path / "copy")
            assert (tmp_path / "copy").read_bytes() == content
        assert [artifact.key for artifact in await all_.list()] == ["a/film", "ab/film", "film"]
        assert await one.delete("") == 1
        assert [artifact.key for artifact in await all_.list()] == ["ab/film", "film"]


def test_a_store_can_be_used_by_one_event_loop_after_the_other(
    open_store: Callable[..., GcsArtifactStore], film: Path, tmp_path: Path
) -> None:
    """As in a worker that keeps it open, where every request has a loop of its own."""
    store = open_store()
    asyncio.run(store.__aenter__())
    stored = asyncio.run(store.put("film", film))
    assert asyncio.run(store.get("film", tmp_path / "copy")) == stored
    asyncio.run(store.__aexit__(None, None, None))


async def test_fake_gcs_server_alone_will_do(fake_gcs: str, bucket: Any, film: Path, tmp_path: Path) -> None:
    """For whoever develops with it, though it is not as strict."""
    (tmp_path / "large").write_bytes(bytes(ONE_PIECE + 1))
    async with open_artifact_store(f"gs://{bucket.name}/a?endpoint_url={fake_gcs}") as store:
        assert store.url.startswith(f"gcs://{bucket.name}/a?endpoint_url=http")
        small = await store.put("jobs/1/small", film, if_absent=True)
        large = await store.put("jobs/1/large", tmp_path / "large")
        assert await store.list("jobs/") == [large, small]
        assert await store.get("jobs/1/large", tmp_path / "copy") == large
        assert await store.put("jobs/1/small", tmp_path / "large", if_absent=True) == small
        assert await store.delete("jobs/") == 2
        assert await store.stat("jobs/1/small") is None


# --- listing and deleting ---------------------------------------------------------------------------------------------


@pytest.fixture
def many(bucket: Any, store: GcsArtifactStore, server: StrictGcs) -> int:
    """So many artifacts are stored, more than go into two batches."""
    number = 201
    for each in range(number):
        keep(bucket, f"heliostat/jobs/1/{each:03}", b"", **{"heliostat-sha256": digest(b"")})
    server.requests.clear()
    return number


async def test_a_listing_takes_one_request(store: GcsArtifactStore, server: StrictGcs, many: int) -> None:
    listed = await store.list("jobs/")
    assert [artifact.key for artifact in listed] == [f"jobs/1/{number:03}" for number in range(many)]
    assert {artifact.sha256 for artifact in listed} == {digest(b"")}
    assert server.operations == ["list"]
    assert server.requests[0].query["maxResults"] == "1000"


async def test_a_long_listing_comes_in_pages(
    store: GcsArtifactStore, server: StrictGcs, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliostat_gcp.gcs_objects._PAGE", 90)
    assert len(await store.list()) == many
    assert server.operations == ["list"] * 3
    assert await store.delete("") == many
    assert await store.list() == []


async def test_a_hundred_are_deleted_in_one_request(store: GcsArtifactStore, server: StrictGcs, many: int) -> None:
    assert await store.delete("jobs/1/") == many
    assert sorted(server.operations) == ["batch", "batch", "batch", "list"]
    assert await store.list() == []


async def test_of_a_batch_only_what_failed_is_asked_again(
    store: GcsArtifactStore, server: StrictGcs, bucket: Any
) -> None:
    for key in "abcde":
        keep(bucket, f"heliostat/{key}", b"")
    failures = {"b": iter([503, 503]), "d": iter([429])}
    server.refuse = lambda path: next(failures.get(path[-1], iter(())), None)
    assert await store.delete("") == 5
    calls = [request.body.count(b"DELETE ") for request in server.requests if request.operation == "batch"]
    assert calls == [5, 2, 1]


async def test_what_cannot_be_deleted_is_named(store: GcsArtifactStore, server: StrictGcs, bucket: Any) -> None:
    for key in "abcd":
        keep(bucket, f"heliostat/{key}", b"")
    server.refuse = lambda path: {"b": 403, "c": 403, "d": 503}.get(path[-1])
    with pytest.raises(ArtifactError, match=rf"^{store.url}/b and 1 more cannot be deleted: access is denied; give"):
        await store.delete("")
    assert [artifact.key for artifact in await store.list()] == ["b", "c", "d"]


async def test_what_cannot_be_deleted_for_a_while_is_given_up_at_last(
    store: GcsArtifactStore, server: StrictGcs, film: Path
) -> None:
    await store.put("film", film)
    server.refuse = lambda path: 503
    with pytest.raises(ArtifactError, match=rf"^{store.url}: Cloud Storage is busy and asks for fewer requests; try"):
        await store.delete("")
    assert server.count("batch") == TRIES


@pytest.mark.parametrize("body", [b"", b"--y\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n--y--", b"--y--"])
async def test_a_batch_that_is_not_answered_is_no_success(
    store: GcsArtifactStore, server: StrictGcs, bucket: Any, body: bytes
) -> None:
    for key in "ab":
        keep(bucket, f"heliostat/{key}", b"")
    answer = Answer(200, body, {"Content-Type": "multipart/mixed; boundary=y"})
    server.intervene = lambda request: answer if request.operation == "batch" else None
    with pytest.raises(ArtifactError, match="Cloud Storage has not answered all calls of a batch"):
        await store.delete("")


async def test_old_artifacts_are_deleted(store: GcsArtifactStore, server: StrictGcs, film: Path) -> None:
    for key in ("control/old", "control/new", "jobs/old"):
        await store.put(key, film)

    def age(request: Request, answer: Answer) -> Answer:
        if request.operation != "list":
            return answer
        told = json.loads(answer.body)
        for item in told.get("items", ()):
            if item["name"].endswith("old"):
                hours = timedelta(hours=2)
                item["timeCreated"] = (datetime.now(UTC) - hours).isoformat().replace("+00:00", "Z")
        return Answer(answer.status, json.dumps(told).encode(), answer.headers)

    server.alter = age
    assert await store.delete_older("control/", 3 * 3600) == 0
    assert await store.delete_older("control/", 3600) == 1
    assert [artifact.key for artifact in await store.list()] == ["control/new", "jobs/old"]
    assert await store.delete_older("", 3600) == 1
    assert [artifact.key for artifact in await store.list()] == ["control/new"]


async def test_what_was_replaced_since_it_was_found_is_not_deleted(
    store: GcsArtifactStore, server: StrictGcs, bucket: Any, film: Path
) -> None:
    for key in ("kept", "gone"):
        await store.put(key, film)

    def replace(request: Request) -> None:
        if request.operation == "batch":
            keep(bucket, "heliostat/kept", b"a later film")

    server.intervene = replace
    assert await store.delete("") == 1
    assert [(artifact.key, artifact.size) for artifact in await store.list()] == [("kept", 12)]


# --- what other tools have put ----------------------------------------------------------------------------------------


async def test_an_object_without_metadata_is_an_artifact(store: GcsArtifactStore, bucket: Any, tmp_path: Path) -> None:
    keep(bucket, "heliostat/by/hand", b"by hand")
    keep(bucket, "heliostat/by/wrong", b"wrong", **{"heliostat-sha256": "none"})
    found = await store.list("by/")
    assert [(artifact.sha256, artifact.size) for artifact in found] == [(digest(b"by hand"), 7), (digest(b"wrong"), 5)]
    assert await store.stat("by/hand") == found[0]
    assert await store.get("by/hand", tmp_path / "copy") == found[0]
    assert (tmp_path / "copy").read_bytes() == b"by hand"


async def test_a_compressed_object_is_handed_out_as_it_is_stored(
    store: GcsArtifactStore, bucket: Any, tmp_path: Path
) -> None:
    """Its size and its digest are those of what is stored."""
    content = gzip.compress(b"film" * 1000)
    blob = bucket.blob("heliostat/film")
    blob.content_encoding = "gzip"
    blob.upload_from_string(content)
    artifact = await store.get("film", tmp_path / "copy")
    assert (artifact.size, artifact.sha256) == (len(content), digest(content))
    assert (tmp_path / "copy").read_bytes() == content


async def test_a_foreign_object_that_is_damaged_on_its_way_is_not_handed_out(
    store: GcsArtifactStore, server: StrictGcs, bucket: Any, tmp_path: Path
) -> None:
    keep(bucket, "heliostat/film", b"film")
    checksum = b64encode(google_crc32c.Checksum(b"film").digest()).decode()

    def damage(request: Request, answer: Answer) -> Answer:
        if request.operation != "media":
            return answer
        return Answer(200, b"fi1m", {"X-Goog-Hash": f"crc32c={checksum}"})

    server.alter = damage
    with pytest.raises(ArtifactError, match=f"^{store.url}/film: the content was damaged on its way"):
        await store.get("film", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


async def test_empty_objects_that_stand_for_folders_are_no_artifacts(
    store: GcsArtifactStore, bucket: Any, film: Path
) -> None:
    keep(bucket, "heliostat/", b"")
    keep(bucket, "heliostat/jobs/1/", b"")
    await store.put("jobs/1/x", film)
    assert [artifact.key for artifact in await store.list()] == ["jobs/1/x"]
    await store.delete("jobs/1/")
    assert [blob.name for blob in bucket.list_blobs()] == ["heliostat/"]


async def test_an_altered_artifact_is_not_handed_out(
    store: GcsArtifactStore, bucket: Any, film: Path, tmp_path: Path
) -> None:
    stored = await store.put("film", film)
    keep(bucket, "heliostat/film", b"fi1m", **{"heliostat-sha256": stored.sha256})
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "copy").write_text("earlier")
    with pytest.raises(ArtifactError, match=rf"^{store.url}/film is damaged, its SHA-256 has changed; store"):
        await store.get("film", folder / "copy")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"copy": "earlier"}


# --- fetching ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def large(store: GcsArtifactStore, server: StrictGcs, tmp_path: Path) -> bytes:
    """What is stored as `large`."""
    content = bytes(range(256)) * 8192
    (tmp_path / "large").write_bytes(content)
    await store.put("large", tmp_path / "large")
    server.requests.clear()
    return content


async def test_a_download_that_breaks_goes_on_where_it_broke(
    store: GcsArtifactStore, server: StrictGcs, large: bytes, tmp_path: Path
) -> None:
    """More often than a call is tried that gets no further."""
    cuts = iter((0, *[100_000] * (2 * TRIES), 1))
    server.cut = lambda request: next(cuts, None) if request.operation == "media" else None
    await store.get("large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large
    media = [request for request in server.requests if request.operation == "media"]
    begins = ["", "", *(f"bytes={100_000 * number}-" for number in range(1, 2 * TRIES + 1))]
    assert [request.range for request in media] == [*begins, f"bytes={100_000 * 2 * TRIES + 1}-"]
    assert len({request.query["generation"] for request in media}) == 1
    assert server.operations == ["get", *["media"] * len(media)]


async def test_a_download_that_keeps_breaking_is_given_up(
    store: GcsArtifactStore, server: StrictGcs, large: bytes, tmp_path: Path
) -> None:
    server.cut = lambda request: 0 if request.operation == "media" else None
    with pytest.raises(ArtifactError, match=r"heliostat/large: Cloud Storage cannot be reached \(.*\); check the netw"):
        await store.get("large", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert server.count("media") == TRIES


async def test_a_download_does_not_go_on_with_another_version(
    store: GcsArtifactStore, server: StrictGcs, bucket: Any, large: bytes, tmp_path: Path
) -> None:
    def replace(request: Request) -> None:
        if request.range:
            keep(bucket, "heliostat/large", large[::-1])

    server.intervene = replace
    server.cut = lambda request: 300_000 if request.operation == "media" else None
    with pytest.raises(ArtifactError, match=r"heliostat/large: somebody else changed it at the same time; try again"):
        await store.get("large", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


async def test_what_is_replaced_before_the_first_byte_is_fetched_anew(
    store: GcsArtifactStore, server: StrictGcs, bucket: Any, large: bytes, tmp_path: Path
) -> None:
    replacements = iter((b"second", b"third"))

    def replace(request: Request) -> None:
        if request.operation == "media" and (content := next(replacements, None)):
            keep(bucket, "heliostat/large", content)

    server.intervene = replace
    assert (await store.get("large", tmp_path / "copy")).sha256 == digest(b"third")
    assert (tmp_path / "copy").read_bytes() == b"third"
    assert server.operations == ["get", "media"] * 3


async def test_what_is_replaced_without_end_is_given_up(
    store: GcsArtifactStore, server: StrictGcs, bucket: Any, film: Path, tmp_path: Path
) -> None:
    await store.put("film", film)

    def replace(request: Request) -> None:
        if request.operation == "media":
            keep(bucket, "heliostat/film", b"film")

    server.intervene = replace
    with pytest.raises(ArtifactError, match=f"^{store.url}/film: somebody else changed it at the same time; try again"):
        await store.get("film", tmp_path / "copy")


async def test_what_is_deleted_before_the_first_byte_does_not_exist(
    store: GcsArtifactStore, server: StrictGcs, bucket: Any, film: Path, tmp_path: Path
) -> None:
    await store.put("film", film)

    def delete(request: Request) -> None:
        if request.operation == "media":
            bucket.delete_blob("heliostat/film")

    server.intervene = delete
    with pytest.raises(ArtifactError, match=f"^{store.url}/film: it does not exist; store it first"):
        await store.get("film", tmp_path / "copy")


async def test_a_get_that_is_cancelled_ends_while_the_answer_is_on_its_way(
    store: GcsArtifactStore, server: StrictGcs, large: bytes, tmp_path: Path
) -> None:
    reached, loop = asyncio.Event(), asyncio.get_running_loop()

    def hold(request: Request, answer: Answer) -> Answer:
        if request.operation == "media":
            loop.call_soon_threadsafe(reached.set)
        return answer

    server.alter = hold
    copy = tmp_path / "new" / "copy"
    getting = asyncio.create_task(store.get("large", copy))
    await reached.wait()
    getting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await getting
    left = list(copy.parent.iterdir())
    assert left == [] or (left == [copy] and copy.read_bytes() == large), "nothing, or all where that was quicker"


async def test_after_a_get_is_cancelled_nothing_more_is_asked(
    store: GcsArtifactStore, server: StrictGcs, large: bytes, tmp_path: Path
) -> None:
    reached, released = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(request: Request) -> None:
        loop.call_soon_threadsafe(reached.set)
        released.wait(30)

    server.intervene = hold
    getting = asyncio.create_task(store.get("large", tmp_path / "copy"))
    await reached.wait()
    getting.cancel()
    await asyncio.sleep(0)
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await getting
    assert server.operations == ["get"]


# --- the project that pays --------------------------------------------------------------------------------------------


async def test_every_request_names_the_project_that_pays(
    server: StrictGcs, bucket: Any, film: Path, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(bytes(ONE_PIECE + 1))
    async with GcsArtifactStore(GcsOptions(url=f"gs://{bucket.name}?project=studio")) as store:
        await store.put("film", film)
        await store.put("large", tmp_path / "large")
        await store.get("film", tmp_path / "copy")
        await store.list()
        await store.delete("")
    sessions = [request for request in server.requests if "upload_id" in request.query]
    assert len(sessions) == 1
    for request in server.requests:
        if request.operation == "batch":
            assert re.findall(rb"userProject=(\w+)", request.body) == [b"studio"] * 2
        else:
            assert request.query["userProject"] == "studio"


async def test_a_bucket_whose_requester_pays_says_so(store: GcsArtifactStore, server: StrictGcs, film: Path) -> None:
    server.intervene = lambda request: error(400, "userProjectMissing")
    with pytest.raises(ArtifactError, match="the bucket lets whoever asks pay; give project=… in the store's URL"):
        await store.put("film", film)
