"""What all artifact stores in buckets have in common, shown on a bucket in memory."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heliostat.errors import ArtifactError, Misconfigured
from heliostat.testing import ArtifactStoreContract
from heliostat.worker import Bucket, BucketStore, ObjectPage, Objects, ObjectService, StoredObject, Taken, Upload

TIN = ObjectService(bucket="a tin", schemes=("tin",), settings=(), longest_key=1024)


class Shelf:
    """What is stored, and what was asked for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stored: dict[str, tuple[StoredObject, bytes]] = {}
        self.writes = 0
        self.asked: list[tuple[str, int]] = []
        """The call, and the number of objects that it was about."""
        self.uploads: set[TinUpload] = set()
        """Those that are pending."""
        self.refused_part: int | None = None
        self.refuses_to_abort = False
        self.broken: Exception | None = None
        self.page_size = 1000

    def add(self, key: str, content: bytes, *, digest: bool = True, age: timedelta = timedelta(0)) -> StoredObject:
        self.writes += 1
        found = StoredObject(
            key=key,
            size=len(content),
            modified_at=datetime.now(UTC) - age,
            version=str(self.writes),
            sha256=hashlib.sha256(content).hexdigest() if digest else None,
        )
        self.stored[key] = found, content
        return found

    def count(self, call: str) -> int:
        return [name for name, _ in self.asked].count(call)


class TinObjects(Objects):
    batch = 100

    def __init__(self, shelf: Shelf, check_on: Callable[[], None]) -> None:
        self._shelf = shelf
        self._check_on = check_on

    def _ask(self, call: str, number: int = 1) -> None:
        self._shelf.asked.append((call, number))
        if self._shelf.broken is not None:
            raise self._shelf.broken

    def find(self, key: str) -> StoredObject | None:
        self._ask("find")
        found = self._shelf.stored.get(key)
        return found and found[0]

    def read(self, key: str, write: Callable[[bytes], object]) -> StoredObject | None:
        self._ask("read")
        if (there := self._shelf.stored.get(key)) is None:
            return None
        found, content = there
        for begin in range(0, len(content), 1 << 16):
            self._check_on()
            write(content[begin : begin + (1 << 16)])
        return found

    def put(self, key: str, content: bytes, *, if_absent: bool) -> StoredObject:
        self._ask("put")
        with self._shelf.lock:
            if if_absent and key in self._shelf.stored:
                raise Taken
            return self._shelf.add(key, content)

    def upload(self, key: str, source: Path, *, if_absent: bool) -> TinUpload:
        return TinUpload(self, self._shelf, key, source.read_bytes(), if_absent)

    def page(self, prefix: str, start: str | None) -> ObjectPage:
        self._ask("page")
        with self._shelf.lock:
            keys = sorted(key for key in self._shelf.stored if key.startswith(prefix) and key > (start or ""))
            taken = keys[: self._shelf.page_size]
            objects = [self._shelf.stored[key][0] for key in taken]
        return ObjectPage(objects=objects, next=taken[-1] if len(taken) < len(keys) else None)

    def delete(self, objects: Sequence[StoredObject]) -> int:
        self._ask("delete", len(objects))
        with self._shelf.lock:
            return sum(self._shelf.stored.pop(found.key, None) is not None for found in objects)

    def link(self, key: str, seconds: int) -> str:
        return f"memory:{key}?{seconds}"

    def close(self) -> None:
        self._shelf.asked.append(("close", 0))


class TinUpload(Upload):
    """In parts of 3 MiB."""

    part = 3 << 20

    def __init__(self, objects: TinObjects, shelf: Shelf, key: str, content: bytes, if_absent: bool) -> None:
        self._objects = objects
        self._shelf = shelf
        self._key = key
        self._content = content
        self._if_absent = if_absent
        self.parts = -(-len(content) // self.part)
        self._arrived: dict[int, bytes] = {}
        self._pending = False

    @property
    def pending(self) -> bool:
        return self._pending

    def begin(self) -> None:
        self._pending = True
        self._shelf.uploads.add(self)

    def send(self, number: int) -> None:
        if number == self._shelf.refused_part:
            raise ValueError("this part is not wanted")
        self._arrived[number] = self._content[number * self.part : (number + 1) * self.part]

    def complete(self) -> StoredObject:
        content = b"".join(content for _, content in sorted(self._arrived.items()))
        found = self._objects.put(self._key, content, if_absent=self._if_absent)
        self._end()
        return found

    def abort(self) -> None:
        if self._shelf.refuses_to_abort:
            raise ValueError("aborting is not wanted")
        self._end()

    def _end(self) -> None:
        self._pending = False
        self._shelf.uploads.remove(self)


class TinStore(BucketStore):
    def __init__(self, shelf: Shelf, prefix: str = "/heliostat") -> None:
        super().__init__(Bucket.parse(f"tin://mirrors{prefix}", TIN))
        self._shelf = shelf

    def connect(self) -> TinObjects:
        self._shelf.asked.append(("connect", 0))
        if isinstance(self._shelf.broken, Misconfigured):
            raise self._shelf.broken
        return TinObjects(self._shelf, self.threads.check_on)

    def mapped(self, error: Exception, what: str) -> ArtifactError:
        return ArtifactError(f"{what}: {getattr(error, 'filename', '')} {error}; try again")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def store(shelf: Shelf) -> AsyncIterator[TinStore]:
    async with TinStore(shelf) as store:
        yield store


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film"
    path.write_bytes(b"film")
    return path


@pytest.fixture(autouse=True)
def _no_upload_is_left(shelf: Shelf) -> Iterator[None]:
    yield
    assert shelf.refuses_to_abort or not shelf.uploads


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heliostat tin")]


class TestTinStore(ArtifactStoreContract):
    test_its_url_opens_the_same_store = None
    """It is registered nowhere."""

    @pytest.fixture
    def under_test(self, shelf: Shelf) -> Callable[[], TinStore]:
        return lambda: TinStore(shelf)


async def test_a_listing_that_tells_digests_is_all_that_is_asked(store: TinStore, shelf: Shelf) -> None:
    shelf.page_size = 10
    for number in range(35):
        shelf.add(f"heliostat/{number:02}", b"%d" % number)
    listed = await store.list()
    assert [artifact.key for artifact in listed] == [f"{number:02}" for number in range(35)]
    assert listed[7].sha256 == hashlib.sha256(b"7").hexdigest()
    assert shelf.asked[1:] == [("page", 1)] * 4


async def test_only_what_has_no_digest_is_read(store: TinStore, shelf: Shelf, tmp_path: Path) -> None:
    shelf.add("heliostat/a", b"ours")
    shelf.add("heliostat/b", b"by hand", digest=False)
    listed = await store.list()
    assert [artifact.sha256 for artifact in listed] == [hashlib.sha256(c).hexdigest() for c in (b"ours", b"by hand")]
    assert (shelf.count("page"), shelf.count("find"), shelf.count("read")) == (1, 1, 1)
    assert await store.get("b", tmp_path / "copy") == await store.stat("b") == listed[1]


async def test_objects_that_are_no_artifacts_are_not_listed_but_deleted(store: TinStore, shelf: Shelf) -> None:
    for key in ("heliostat/", "heliostat/jobs/", "heliostat/jobs/x", "elsewhere"):
        shelf.add(key, b"")
    assert [artifact.key for artifact in await store.list()] == ["jobs/x"]
    assert await store.delete("jobs/") == 2
    assert sorted(shelf.stored) == ["elsewhere", "heliostat/"]


async def test_objects_are_deleted_in_batches(store: TinStore, shelf: Shelf) -> None:
    for number in range(1234):
        shelf.add(f"heliostat/{number:04}", b"")
    assert await store.delete("") == 1234
    assert sorted(number for call, number in shelf.asked if call == "delete") == [34, *[100] * 12]
    assert await store.delete("") == 0


async def test_old_artifacts_are_deleted(store: TinStore, shelf: Shelf) -> None:
    for key, hours in (("control/new", 0), ("control/old", 2), ("jobs/old", 2)):
        shelf.add(f"heliostat/{key}", b"", age=timedelta(hours=hours))
    assert await store.delete_older("control/", 3 * 3600) == 0
    assert await store.delete_older("control/", 3600) == 1
    assert sorted(shelf.stored) == ["heliostat/control/new", "heliostat/jobs/old"]


async def test_an_altered_artifact_is_not_handed_out(store: TinStore, shelf: Shelf, tmp_path: Path) -> None:
    found = shelf.add("heliostat/film", b"film")
    shelf.stored["heliostat/film"] = found, b"fi1m"
    with pytest.raises(
        ArtifactError, match=r"^tin://mirrors/heliostat/film is damaged, its SHA-256 has changed; store"
    ):
        await store.get("film", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


async def test_a_put_if_absent_that_always_comes_too_late_is_given_up(
    store: TinStore, shelf: Shelf, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others put it between the look and the write, and delete it again."""

    def taken(*_: object, **__: object) -> StoredObject:
        shelf.asked.append(("put", 1))
        raise Taken

    monkeypatch.setattr(TinObjects, "put", taken)
    with pytest.raises(
        ArtifactError, match=r"^tin://mirrors/heliostat/film: somebody else changed it at the same time"
    ):
        await store.put("film", film, if_absent=True)
    assert shelf.count("put") == shelf.count("find") == 10


async def test_a_large_upload_that_fails_is_aborted(
    store: TinStore, shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "large").write_bytes(bytes(BucketStore.one_piece + 1))
    shelf.refused_part = 1
    for refuses in (False, True):
        shelf.refuses_to_abort = refuses
        with pytest.raises(ArtifactError, match="this part is not wanted; try again"):
            await store.put("film", tmp_path / "large")
        assert len(shelf.uploads) == refuses
    (warning,) = caplog.records
    assert warning.getMessage().startswith("an unfinished upload is left for the service to remove: tin://mirrors/")
    assert await store.list() == []


async def test_errors_are_mapped_with_the_address(store: TinStore, shelf: Shelf, film: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no such file .*; try again"):
        await store.put("film", tmp_path / "no such file")
    await store.put("film", film)
    with pytest.raises(ArtifactError, match=r"film/copy.*; try again"):
        await store.get("film", film / "copy")
    with pytest.raises(ArtifactError, match=r"^tin://mirrors/heliostat/x: it does not exist; store it first"):
        await store.get("x", tmp_path / "copy")
    shelf.broken = ValueError("broken")
    for call in (store.put("x", film), store.get("x", film), store.stat("x"), store.list("x"), store.delete("x")):
        with pytest.raises(ArtifactError, match=r"^tin://mirrors/heliostat/x:  broken; try again"):
            await call
    assert film.read_bytes() == b"film"


async def test_a_store_is_connected_once_however_often_it_is_opened(shelf: Shelf, film: Path) -> None:
    store = TinStore(shelf)
    async with store, store:
        await asyncio.gather(*(store.__aenter__() for _ in range(5)))
        for _ in range(5):
            await store.__aexit__(None, None, None)
        await store.put("film", film)
        assert (shelf.count("connect"), shelf.count("close")) == (1, 0)
    assert shelf.count("close") == 1
    async with store:
        assert shelf.count("connect") == 2


async def test_a_store_that_is_not_open_says_so(shelf: Shelf, film: Path) -> None:
    closed = TinStore(shelf)
    async with closed:
        pass
    for store in (TinStore(shelf), closed):
        for call in (store.put("film", film), store.list(), store.stat("film")):
            with pytest.raises(ArtifactError, match=r"is not open; use the store within `async with`"):
                await call


async def test_a_store_that_cannot_connect_is_closed(shelf: Shelf) -> None:
    shelf.broken = Misconfigured("there are no credentials")
    store = TinStore(shelf)
    with pytest.raises(Misconfigured):
        await store.__aenter__()
    with pytest.raises(ArtifactError, match="is not open"):
        await store.stat("film")


@pytest.mark.parametrize("seconds", [-1, 0, 7 * 86_400 + 1])
async def test_a_link_lasts_at_most_seven_days(store: TinStore, seconds: int) -> None:
    assert await store.presigned_url("film", 7 * 86_400) == "memory:heliostat/film?604800"
    with pytest.raises(ArtifactError, match=f"a link cannot last {seconds} seconds; choose between 1 and 604800"):
        await store.presigned_url("film", seconds)
