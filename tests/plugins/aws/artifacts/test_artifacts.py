"""The artifact store `s3`: what its contract does not say."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any, Self

import boto3
import pytest
from moto import mock_aws
from moto.s3.models import s3_backends

from heliostat.errors import ArtifactError, Misconfigured
from heliostat_aws.artifacts import S3ArtifactStore
from heliostat_aws.options import S3Options


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def moto_backend() -> Any:
    (backend,) = (
        backend for regions in s3_backends.values() for backend in regions.values() if "mirrors" in backend.buckets
    )
    return backend


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


# --- what is stored ---------------------------------------------------------------------------------------------------


async def test_an_artifact_is_an_object_that_carries_its_digest_and_s3_s_checksum(
    store: S3ArtifactStore, s3: Any, film: Path
) -> None:
    await store.put("jobs/1/part.mp4", film)
    found = s3.head_object(Bucket="mirrors", Key="heliostat/jobs/1/part.mp4", ChecksumMode="ENABLED")
    assert found["Metadata"] == {"heliostat-sha256": digest(b"film")}
    assert found["ChecksumSHA256"] == b64encode(hashlib.sha256(b"film").digest()).decode()


async def test_a_time_is_that_of_s3(store: S3ArtifactStore, film: Path) -> None:
    put = await store.put("film", film)
    stat = await store.stat("film")
    assert stat is not None
    assert stat.modified_at.tzinfo is UTC
    assert abs(put.modified_at - stat.modified_at) < timedelta(minutes=1)


async def test_a_small_file_takes_one_request_and_no_new_connection(credentials: None, film: Path) -> None:
    with _Acceptor() as acceptor:
        async with S3ArtifactStore(S3Options(url=f"s3://mirrors?endpoint_url={acceptor.url}")) as store:
            await asyncio.gather(*(store.put(f"jobs/1/{number}", film) for number in range(200)))
    assert acceptor.requests == 200
    assert acceptor.connections <= S3ArtifactStore.at_once


class _Acceptor(http.server.ThreadingHTTPServer):
    """Accepts every object, and keeps connections open as S3 does, which moto does not."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _AcceptorHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.connections = self.requests = 0
        self.lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _AcceptorHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Acceptor

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.requests += 1
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


async def test_what_is_there_is_not_sent_again(store: S3ArtifactStore, server: Any, tmp_path: Path) -> None:
    for size in (4, S3ArtifactStore.one_piece + 1):
        source = tmp_path / "source"
        source.write_bytes(bytes(size))
        key = f"inputs/{digest(bytes(size))}"
        stored = await store.put(key, source, if_absent=True)
        server.requests.clear()
        again = await store.put(key, source, if_absent=True)
        assert (again.sha256, again.size) == (stored.sha256, stored.size)
        assert [(request.operation, request.body) for request in server.requests] == [("HeadObject", 0)]


async def test_stores_in_one_bucket_see_nothing_of_each_other(
    open_store: Callable[..., S3ArtifactStore], s3: Any, tmp_path: Path
) -> None:
    s3.put_object(Bucket="mirrors", Key="film", Body=b"outside")
    async with open_store("mirrors/a") as one, open_store("mirrors/ab/") as two, open_store("mirrors") as all_:
        for store, content in ((one, b"one"), (two, b"two")):
            (tmp_path / "source").write_bytes(content)
            await store.put("film", tmp_path / "source")
        for store, content in ((one, b"one"), (two, b"two"), (all_, b"outside")):
            await store.get("film", tmp_path / "copy")
            assert (tmp_path / "copy").read_bytes() == content
        assert [artifact.key for artifact in await all_.list()] == ["a/film", "ab/film", "film"]
        assert await one.delete("") == 1
        assert [artifact.key for artifact in await all_.list()] == ["ab/film", "film"]


async def test_a_store_may_be_opened_again_while_it_is_open(store: S3ArtifactStore, film: Path) -> None:
    async with store, store:
        await store.put("film", film)
    assert await store.stat("film") is not None


async def test_a_store_that_is_not_open_says_so(open_store: Callable[[], S3ArtifactStore], film: Path) -> None:
    closed = open_store()
    async with closed:
        pass
    for store in (open_store(), closed):
        for call in (store.put("film", film), store.list(), store.stat("film")):
            with pytest.raises(ArtifactError, match=r"is not open; use the store within `async with`"):
                await call


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_a_store_can_be_used_by_one_event_loop_after_the_other(credentials: None, film: Path, tmp_path: Path) -> None:
    """As in a worker that keeps it open, where every invocation has a loop of its own."""
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="mirrors")
        client.close()
        store = S3ArtifactStore(S3Options(url="s3://mirrors/heliostat"))
        asyncio.run(store.__aenter__())
        stored = asyncio.run(store.put("film", film))
        assert asyncio.run(store.get("film", tmp_path / "copy")).sha256 == stored.sha256
        asyncio.run(store.__aexit__(None, None, None))


async def test_without_credentials_it_does_not_open(
    open_store: Callable[[], S3ArtifactStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    before = threading.active_count()
    with pytest.raises(Misconfigured, match="there are no AWS credentials"):
        await open_store().__aenter__()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heliostat s3")]
    assert threading.active_count() <= before + 1, "a thread of the event loop, which closed the others"


@pytest.mark.parametrize(
    "key", ["", "/x", "..", "../x", "a/../../x", "a//b", "a/", ".", "a\0", "a\nb", "a\x7f", "\udc80", "x" * 1020]
)
async def test_what_is_no_key_is_refused(store: S3ArtifactStore, server: Any, film: Path, key: str) -> None:
    for call in (store.put(key, film), store.get(key, film), store.stat(key), store.presigned_url(key, 60)):
        with pytest.raises(ArtifactError, match=r"is no key of s3://mirrors/heliostat; keys are|is too long for an S3"):
            await call
    if key.rstrip("/").rpartition("/")[0]:
        for call in (store.list(key), store.delete(key)):
            with pytest.raises(ArtifactError, match="is no key of"):
                await call
    assert server.requests == []


# --- what other tools have put ----------------------------------------------------------------------------------------


async def test_an_object_without_metadata_is_an_artifact(store: S3ArtifactStore, s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="mirrors", Key="heliostat/by/hand", Body=b"by hand")
    s3.put_object(Bucket="mirrors", Key="heliostat/by/wrong", Body=b"wrong", Metadata={"heliostat-sha256": "none"})
    found = await store.list("by/")
    assert [(artifact.sha256, artifact.size) for artifact in found] == [(digest(b"by hand"), 7), (digest(b"wrong"), 5)]
    assert await store.stat("by/hand") == found[0]
    assert await store.get("by/hand", tmp_path / "copy") == found[0]
    assert (tmp_path / "copy").read_bytes() == b"by hand"


async def test_a_checksum_that_s3_took_of_the_whole_saves_reading_it(store: S3ArtifactStore, server: Any) -> None:
    checksum = {
        "x-amz-checksum-sha256": b64encode(hashlib.sha256(b"by hand").digest()).decode(),
        "x-amz-checksum-type": "FULL_OBJECT",
        "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        "ETag": '"1"',
    }
    server.intervene = lambda request: server.answer("200 OK", headers=checksum)
    artifact = await store.stat("by/hand")
    assert artifact is not None
    assert artifact.sha256 == digest(b"by hand")
    assert [request.operation for request in server.requests] == ["HeadObject"]


async def test_empty_objects_that_stand_for_folders_are_no_artifacts(
    store: S3ArtifactStore, s3: Any, film: Path
) -> None:
    s3.put_object(Bucket="mirrors", Key="heliostat/")
    s3.put_object(Bucket="mirrors", Key="heliostat/jobs/1/")
    await store.put("jobs/1/x", film)
    assert [artifact.key for artifact in await store.list()] == ["jobs/1/x"]
    await store.delete("jobs/1/")
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="mirrors")["Contents"]] == ["heliostat/"]


async def test_an_altered_artifact_is_not_handed_out(
    store: S3ArtifactStore, s3: Any, film: Path, tmp_path: Path
) -> None:
    stored = await store.put("film", film)
    s3.put_object(Bucket="mirrors", Key="heliostat/film", Body=b"fi1m", Metadata={"heliostat-sha256": stored.sha256})
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "copy").write_text("earlier")
    with pytest.raises(ArtifactError, match=r"^s3://mirrors/heliostat/film is damaged, its SHA-256 has changed; store"):
        await store.get("film", folder / "copy")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"copy": "earlier"}


# --- fetching ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def large(store: S3ArtifactStore, server: Any, tmp_path: Path) -> bytes:
    """What is stored as `large`."""
    content = bytes(range(256)) * 8192
    (tmp_path / "large").write_bytes(content)
    await store.put("large", tmp_path / "large")
    server.requests.clear()
    return content


async def test_a_download_that_breaks_goes_on_where_it_broke(
    store: S3ArtifactStore, server: Any, large: bytes, tmp_path: Path
) -> None:
    cuts = iter((0, 300_000, 700_001))
    server.cut = lambda request: next(cuts, None)
    await store.get("large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large
    assert server.count("GetObject") == len(server.requests) == 4
    assert [request.range for request in server.requests] == [
        "", "bytes=0-", f"bytes={300_000}-", f"bytes={300_000 + 700_001}-"
    ]  # fmt: skip


async def test_a_download_that_keeps_breaking_is_given_up(
    store: S3ArtifactStore, server: Any, large: bytes, tmp_path: Path
) -> None:
    server.cut = lambda request: 0
    with pytest.raises(ArtifactError, match=r"heliostat/large: S3 cannot be reached \(.*\); check the network"):
        await store.get("large", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


async def test_a_download_does_not_go_on_with_another_version(
    store: S3ArtifactStore, server: Any, s3: Any, large: bytes, tmp_path: Path
) -> None:
    def replace(request: Any) -> None:
        if request.range:
            s3.put_object(Bucket="mirrors", Key="heliostat/large", Body=large[::-1])

    server.intervene = replace
    server.cut = lambda request: 300_000 if request.operation == "GetObject" else None
    with pytest.raises(ArtifactError, match=r"heliostat/large: somebody else changed it at the same time; try again"):
        await store.get("large", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


# --- links ------------------------------------------------------------------------------------------------------------


async def test_a_link_fetches_the_artifact_without_credentials(store: S3ArtifactStore, film: Path) -> None:
    for key in ("jobs/1/film", "a b/☀ +&?#.mp4"):
        await store.put(key, film)
        url = await store.presigned_url(key, 600)
        assert "X-Amz-Expires=600" in url
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
        assert await asyncio.to_thread(fetch, url) == b"film"


async def test_a_link_to_nothing_finds_nothing(store: S3ArtifactStore) -> None:
    url = await store.presigned_url("nothing", 600)
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(fetch, url)
    refused.value.close()
    assert refused.value.code == 404


@pytest.mark.parametrize("seconds", [-1, 0, 7 * 86_400 + 1])
async def test_a_link_lasts_at_most_seven_days(store: S3ArtifactStore, seconds: int) -> None:
    with pytest.raises(ArtifactError, match=f"a link cannot last {seconds} seconds; choose between 1 and 604800"):
        await store.presigned_url("film", seconds)


# --- deleting ---------------------------------------------------------------------------------------------------------


async def test_old_artifacts_are_deleted(store: S3ArtifactStore, film: Path) -> None:
    for key in ("control/old", "control/new", "jobs/old"):
        await store.put(key, film)
    for key in ("control/old", "jobs/old"):
        stored = moto_backend().get_object("mirrors", f"heliostat/{key}")
        stored.last_modified -= timedelta(hours=2)
    assert await store.delete_older("control/", 3 * 3600) == 0
    assert await store.delete_older("control/", 3600) == 1
    assert [artifact.key for artifact in await store.list()] == ["control/new", "jobs/old"]
    assert await store.delete_older("", 3600) == 1
    assert [artifact.key for artifact in await store.list()] == ["control/new"]


async def test_a_thousand_are_deleted_in_one_request(store: S3ArtifactStore, server: Any) -> None:
    for number in range(2001):
        moto_backend().put_object("mirrors", f"heliostat/jobs/1/{number:04}", b"")
    assert await store.delete("jobs/1/") == 2001
    assert server.count("DeleteObjects") == 3
    assert await store.list() == []


async def test_what_cannot_be_deleted_is_named(store: S3ArtifactStore, server: Any, film: Path) -> None:
    await store.put("film", film)
    refused = b"<DeleteResult><Error><Key>heliostat/film</Key><Code>AccessDenied</Code></Error></DeleteResult>"
    server.intervene = lambda request: (
        server.answer("200 OK", refused) if request.operation == "DeleteObjects" else None
    )
    with pytest.raises(
        ArtifactError, match=r"^s3://mirrors/heliostat/film and 0 more cannot be deleted: access is denied"
    ):
        await store.delete("")


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heliostat s3")]
