"""The contract of `ArtifactStore` as a pytest suite, for the author of a store.

```python
class TestMyStore(ArtifactStoreContract):
    @pytest.fixture
    def under_test(self, empty_bucket):
        return lambda: MyStore(MyOptions(url=f"mine://{empty_bucket}/films"))
```

Most tests open the store twice: what is stored `here`, another machine would find `there`.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from heliostat.contracts.artifacts import Artifact, ArtifactStore
from heliostat.errors import ArtifactError, PluginError, SpecError
from heliostat.plugins import open_artifact_store
from heliostat.testing.contract import Contract, asynchronous, not_shown
from heliostat.testing.interruption import interrupted

Open = Callable[[], ArtifactStore]
"""Makes a new handle of one and the same store, to be opened with `async with`."""

ODD_KEYS = (
    "jobs/1/part ☀.mp4",
    "a b/c  d.mp4",
    "per%20cent/%2F/100 %",
    "plus+and&=?#;@:,$!/x",
    "quotes '\"`/\\back\\slash",
    "[brackets]{*}?/<^~|>()",
    "дом/雪/😀.mp4",
    "decomposed/e\u0301",
    "-dash/--/.hidden/..two/three...",
    "n" * 200 + "/" + "m" * 200,
)
OUTSIDE = ("", "/", "/x", "..", "../x", "a/../../x")
"""What is no key of any store."""


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def noise(seed: int, size: int) -> bytes:
    """Bytes of which no two blocks are the same."""
    return random.Random(seed).randbytes(size)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check(artifact: Artifact | None, key: str, content: bytes) -> None:
    """The store tells of an artifact what is so."""
    assert artifact is not None, f"{key} is not stored"
    assert (artifact.key, artifact.size, artifact.sha256) == (key, len(content), digest(content))
    assert artifact.modified_at.utcoffset() == timedelta(0), "a time in UTC"
    assert abs(datetime.now(UTC) - artifact.modified_at) < timedelta(minutes=30)


def digests(folder: Path) -> dict[str, str]:
    """What lies in a folder; digests, because contents are too long to be compared on the screen."""
    return {path.name: digest(path.read_bytes()) if path.is_file() else "a folder" for path in folder.iterdir()}


async def keys(store: ArtifactStore, prefix: str = "") -> list[str]:
    return [artifact.key for artifact in await store.list(prefix)]


async def fetched(store: ArtifactStore, key: str, folder: Path) -> str:
    """The digest of what `get` writes, having checked that it is what `get` says, and all that `get` leaves."""
    artifact = await store.get(key, folder / "copy")
    assert digests(folder) == {"copy": artifact.sha256}
    assert (artifact.key, artifact.size) == (key, (folder / "copy").stat().st_size)
    return artifact.sha256


class ArtifactStoreContract(Contract):
    """Subclass it, and override `under_test`."""

    kind = "artifact_store"

    large: ClassVar[int] = (9 << 20) + 1
    """Bytes of a large artifact: above what many stores take in one piece."""
    many: ClassVar[int] = 1100
    """Artifacts in a long listing: above what many stores list in one answer."""

    @pytest.fixture
    def under_test(self) -> Open:
        """A function that makes a new handle of one and the same store, which is empty when a test begins."""
        raise NotImplementedError(f"override the fixture `under_test` of {type(self).__name__}")

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        return write(tmp_path / "source", b"film")

    # --- put and get -------------------------------------------------------------------------------------------------

    @asynchronous
    async def test_what_is_put_can_be_got(self, under_test: Open, source: Path, tmp_path: Path) -> None:
        async with under_test() as here, under_test() as there:
            check(await here.put("jobs/1/part.mp4", source), "jobs/1/part.mp4", b"film")
            check(await there.stat("jobs/1/part.mp4"), "jobs/1/part.mp4", b"film")
            assert await fetched(there, "jobs/1/part.mp4", tmp_path / "new") == digest(b"film")
            (listed,) = await there.list()
            check(listed, "jobs/1/part.mp4", b"film")
            assert digests(tmp_path)["source"] == digest(b"film"), "the source stays as it is"

    @asynchronous
    async def test_an_empty_file_is_an_artifact(self, under_test: Open, tmp_path: Path) -> None:
        async with under_test() as here, under_test() as there:
            check(await here.put("empty", write(tmp_path / "nothing", b"")), "empty", b"")
            check(await there.stat("empty"), "empty", b"")
            assert await fetched(there, "empty", tmp_path / "new") == digest(b"")
            assert await keys(there) == ["empty"]

    @asynchronous
    async def test_a_large_file_is_an_artifact(self, under_test: Open, tmp_path: Path) -> None:
        content = noise(1, self.large)
        source = write(tmp_path / "large", content)
        async with under_test() as here, under_test() as there:
            check(await here.put("large", source), "large", content)
            check(await there.stat("large"), "large", content)
            assert await fetched(there, "large", tmp_path / "new") == digest(content)

    @asynchronous
    async def test_keys_may_hold_any_visible_characters(self, under_test: Open, tmp_path: Path) -> None:
        async with under_test() as here, under_test() as there:
            for number, key in enumerate(ODD_KEYS):
                content = b"%d" % number
                check(await here.put(key, write(tmp_path / "source", content)), key, content)
            assert await keys(there) == sorted(ODD_KEYS)
            for number, key in enumerate(ODD_KEYS):
                content = b"%d" % number
                check(await there.stat(key), key, content)
                assert await fetched(there, key, tmp_path / f"new {number}") == digest(content)
                assert await keys(there, key) == [key]
            for left, key in enumerate(ODD_KEYS):
                assert await here.delete(key) == 1
                assert len(await there.list()) == len(ODD_KEYS) - left - 1

    @asynchronous
    async def test_a_later_put_replaces_the_whole_artifact(self, under_test: Open, tmp_path: Path) -> None:
        async with under_test() as here, under_test() as there:
            for number, content in enumerate((noise(1, 5000), b"shorter", b"", noise(2, 9000))):
                source = write(tmp_path / "source", content)
                check(await (here, there)[number % 2].put("film", source), "film", content)
                for store in (here, there):
                    check(await store.stat("film"), "film", content)
                assert await fetched(there, "film", tmp_path / str(number)) == digest(content)
            assert await keys(here) == ["film"]

    @asynchronous
    async def test_get_makes_folders_and_replaces_what_was_there(
        self, under_test: Open, source: Path, tmp_path: Path
    ) -> None:
        async with under_test() as store:
            await store.put("film", source)
            copy = tmp_path / "a new" / "folder ☀" / "copy's name"
            for _ in range(2):
                await store.get("film", copy)
                assert digests(copy.parent) == {copy.name: digest(b"film")}
                write(copy, b"something longer than the film")

    @asynchronous
    async def test_reopening_finds_everything(self, under_test: Open, source: Path, tmp_path: Path) -> None:
        async with under_test() as first:
            await first.put("a/film", source)
            await first.put("b", source)
        async with under_test() as second:
            assert await keys(second) == ["a/film", "b"]
            check(await second.stat("b"), "b", b"film")
            assert await fetched(second, "a/film", tmp_path / "new") == digest(b"film")

    @asynchronous
    async def test_its_url_opens_the_same_store(self, under_test: Open, source: Path) -> None:
        """Workers are told the store's address and nothing else."""
        async with under_test() as here, under_test() as there:
            assert here.url == there.url
            assert not here.url.endswith("/")
            await here.put("jobs/1/part.mp4", source)
            try:
                by_url = open_artifact_store(here.url)
            except PluginError as error:
                not_shown(str(error))
            async with by_url:
                assert by_url.url == here.url
                check(await by_url.stat("jobs/1/part.mp4"), "jobs/1/part.mp4", b"film")

    # --- what is not there -------------------------------------------------------------------------------------------

    @asynchronous
    async def test_what_is_not_stored_cannot_be_got(self, under_test: Open, source: Path, tmp_path: Path) -> None:
        folder = tmp_path / "new"
        folder.mkdir()
        async with under_test() as store:
            await store.put("folder/film", source)
            for key in ("nothing", "folder", "folder/fil", "folder/film/x"):
                with pytest.raises(ArtifactError) as refused:
                    await store.get(key, folder / "copy")
                assert key in str(refused.value), "a sentence that names the key"
                assert "\n" not in str(refused.value)
                assert digests(folder) == {}

    @asynchronous
    async def test_a_get_that_fails_leaves_the_destination_as_it_was(self, under_test: Open, tmp_path: Path) -> None:
        folder = tmp_path / "new"
        folder.mkdir()
        write(folder / "copy", b"earlier")
        async with under_test() as store:
            with pytest.raises(ArtifactError):
                await store.get("nothing", folder / "copy")
        assert digests(folder) == {"copy": digest(b"earlier")}

    @asynchronous
    async def test_what_is_not_stored_has_no_stat(self, under_test: Open, source: Path) -> None:
        async with under_test() as store:
            assert await store.list() == []
            await store.put("folder/film", source)
            for key in ("nothing", "folder", "folder/fil", "folder/film2", "folder/film/x"):
                assert await store.stat(key) is None, key

    @asynchronous
    async def test_a_source_that_is_not_there_is_named(self, under_test: Open, source: Path, tmp_path: Path) -> None:
        async with under_test() as store:
            await store.put("film", source)
            for key in ("film", "other"):
                with pytest.raises(ArtifactError, match="no such film"):
                    await store.put(key, tmp_path / "no such film.mp4")
            check(await store.stat("film"), "film", b"film")
            assert await keys(store) == ["film"]

    @asynchronous
    async def test_what_is_no_key_is_refused(self, under_test: Open, source: Path, tmp_path: Path) -> None:
        async with under_test() as store:
            await store.put("film", source)
            for key in OUTSIDE:
                with pytest.raises((ArtifactError, SpecError)):
                    await store.put(key, source)
                with pytest.raises((ArtifactError, SpecError)):
                    await store.get(key, tmp_path / "copy")
            assert not (tmp_path / "copy").exists()
            assert await keys(store) == ["film"]

    # --- if absent ---------------------------------------------------------------------------------------------------

    @asynchronous
    async def test_with_if_absent_what_is_there_stays(self, under_test: Open, source: Path, tmp_path: Path) -> None:
        async with under_test() as here, under_test() as there:
            check(await here.put("film", source, if_absent=True), "film", b"film")
            for number, content in enumerate((b"other", b"", noise(1, self.large))):
                other = write(tmp_path / "other", content)
                for store in (here, there):
                    check(await store.put("film", other, if_absent=True), "film", b"film")
                assert await fetched(there, "film", tmp_path / str(number)) == digest(b"film")
            check(await there.put("film", write(tmp_path / "other", b"other")), "film", b"other")

    @asynchronous
    async def test_of_many_that_put_if_absent_one_wins_and_all_are_told(self, under_test: Open, tmp_path: Path) -> None:
        async with under_test() as here, under_test() as there:
            # Small ones, and large ones that arrive in several pieces.
            for key, sizes in (("small", range(1, 25)), ("large", range(self.large, self.large + 4))):
                versions = {digest(content): content for content in (noise(size, size) for size in sizes)}
                sources = [write(tmp_path / name, content) for name, content in versions.items()]
                told = await asyncio.gather(
                    *(
                        store.put(key, source, if_absent=True)
                        for source, store in zip(sources, itertools.cycle((here, there)), strict=False)
                    )
                )
                content = versions[await fetched(there, key, tmp_path / key)]
                for artifact in told:
                    check(artifact, key, content)
            assert await keys(here) == ["large", "small"]

    # --- at the same time --------------------------------------------------------------------------------------------

    @asynchronous
    async def test_of_many_that_put_at_once_one_is_left_whole(self, under_test: Open, tmp_path: Path) -> None:
        versions = {digest(content): content for content in (noise(size, size * 10_000) for size in range(1, 17))}
        sources = [write(tmp_path / name, content) for name, content in versions.items()]
        async with under_test() as here, under_test() as there:
            told = await asyncio.gather(
                *(
                    store.put("film", source)
                    for source, store in zip(sources, itertools.cycle((here, there)), strict=False)
                )
            )
            for artifact, content in zip(told, versions.values(), strict=True):
                check(artifact, "film", content)
            content = versions[await fetched(there, "film", tmp_path / "new")]
            for store in (here, there):
                check(await store.stat("film"), "film", content)
            assert await keys(here) == ["film"]

    @asynchronous
    async def test_who_reads_while_another_writes_sees_one_whole_version(
        self, under_test: Open, tmp_path: Path
    ) -> None:
        versions = {digest(content): content for content in (noise(1, 300_000), noise(2, 700_001))}
        sources = [write(tmp_path / name, content) for name, content in versions.items()]
        async with under_test() as here, under_test() as there:
            await here.put("film", sources[0])

            async def overwrite() -> None:
                for number in range(1, 21):
                    await here.put("film", sources[number % 2])

            writing = asyncio.create_task(overwrite())
            for number in itertools.count():
                found = await there.stat("film")
                assert found is not None
                check(found, "film", versions[found.sha256])
                assert await fetched(there, "film", tmp_path / str(number)) in versions
                assert await keys(there) == ["film"]
                if writing.done():
                    break
            await writing

    @asynchronous
    async def test_deleting_disturbs_nobody_who_puts(self, under_test: Open, source: Path) -> None:
        async with under_test() as here, under_test() as there:
            for number in range(25):
                deleted = asyncio.gather(*(there.delete(f"jobs/{number}-{other}/") for other in range(4)))
                await asyncio.gather(*(here.put(f"jobs/{number + 1}-{other}/x", source) for other in range(4)))
                assert await deleted == ([1] * 4 if number else [0] * 4)
                assert await keys(there) == [f"jobs/{number + 1}-{other}/x" for other in range(4)]

    # --- list and delete ---------------------------------------------------------------------------------------------

    @asynchronous
    async def test_list_finds_all_whose_key_begins_so_by_key(self, under_test: Open, source: Path) -> None:
        stored = ("jobs-old", "jobs/1/a/x", "jobs/1/b", "jobs/1/é", "jobs/1/～", "jobs/1/😀", "jobs/10/a", "z")
        async with under_test() as here, under_test() as there:
            for key in random.Random(1).sample(stored, len(stored)):
                await here.put(key, source)
            assert await keys(there) == list(stored), "by code point"
            for listed in await there.list():
                check(listed, listed.key, b"film")
            for prefix in ("jobs/1/", "jobs/1", "jobs/1/a", "jobs/", "jobs", "j", "jobs/1/b", "z", "jobs/1/😀"):
                assert await keys(there, prefix) == [key for key in stored if key.startswith(prefix)], prefix
            for prefix in ("nowhere", "nowhere/", "jobs/1/b/", "zz", "J", "obs"):
                assert await keys(there, prefix) == [], prefix

    @asynchronous
    async def test_delete_takes_all_whose_key_begins_so_and_no_other(self, under_test: Open, source: Path) -> None:
        left = ["jobs-old", "jobs/1/a/x", "jobs/1/b", "jobs/10/a", "jobs/2/😀", "z"]
        async with under_test() as here, under_test() as there:
            for key in left:
                await here.put(key, source)
            for prefix in ("nowhere", "jobs/1/b/", "jobs/1/", "jobs/1", "jobs/2/😀", "jobs-", "jobs/1/", ""):
                gone = [key for key in left if key.startswith(prefix)]
                assert await here.delete(prefix) == len(gone), prefix
                left = [key for key in left if key not in gone]
                assert await keys(there) == left, prefix
                for key in gone:
                    assert await there.stat(key) is None
            assert await here.delete("") == 0

    @asynchronous
    async def test_what_was_deleted_can_be_put_again(self, under_test: Open, source: Path, tmp_path: Path) -> None:
        async with under_test() as here, under_test() as there:
            for number in range(3):
                content = b"%d" % number
                again = write(tmp_path / "again", content)
                check(await here.put("jobs/1/x", again, if_absent=True), "jobs/1/x", content)
                assert await fetched(there, "jobs/1/x", tmp_path / str(number)) == digest(content)
                assert await there.delete("jobs/1/") == 1
            with pytest.raises(ArtifactError):
                await here.get("jobs/1/x", tmp_path / "copy")

    @asynchronous
    async def test_many_artifacts_are_all_listed_and_all_deleted(self, under_test: Open, source: Path) -> None:
        wanted = [f"jobs/1/{number:06d}" for number in range(self.many)]
        async with under_test() as here, under_test() as there:
            left = iter(wanted)

            async def put_some() -> None:
                for key in left:
                    await here.put(key, source)

            await here.put("jobs/2", source)
            await asyncio.gather(*(put_some() for _ in range(16)))
            assert await keys(there, "jobs/1/") == wanted
            assert await here.delete("jobs/1/") == self.many
            assert await keys(there) == ["jobs/2"]

    # --- cancellation ------------------------------------------------------------------------------------------------

    @asynchronous
    async def test_a_put_that_is_cancelled_stores_the_whole_or_nothing(self, under_test: Open, tmp_path: Path) -> None:
        content = noise(1, self.large)
        source = write(tmp_path / "large", content)
        async with under_test() as here, under_test() as there:
            async for cancelled in interrupted(lambda: here.put("film", source)):
                stored = await keys(there)
                assert stored in ([], ["film"]) if cancelled else stored == ["film"]
                if stored:
                    check(await there.stat("film"), "film", content)
                    assert await there.delete("film") == 1

    @asynchronous
    async def test_a_put_that_is_cancelled_leaves_the_earlier_or_the_new_artifact(
        self, under_test: Open, source: Path, tmp_path: Path
    ) -> None:
        versions = {digest(content): content for content in (b"film", noise(1, self.large))}
        large = write(tmp_path / "large", [*versions.values()][1])
        moments = itertools.count()
        async with under_test() as here, under_test() as there:
            await here.put("film", source)
            async for _ in interrupted(lambda: here.put("film", large)):
                found = await there.stat("film")
                assert found is not None
                check(found, "film", versions[found.sha256])
                assert await fetched(there, "film", tmp_path / str(next(moments))) == found.sha256
                await here.put("film", source)

    @asynchronous
    async def test_a_get_that_is_cancelled_leaves_the_earlier_file_or_the_whole(
        self, under_test: Open, tmp_path: Path
    ) -> None:
        content = noise(1, self.large)
        folder = tmp_path / "new"
        folder.mkdir()
        async with under_test() as store:
            await store.put("film", write(tmp_path / "large", content))
            write(folder / "copy", b"earlier")
            async for cancelled in interrupted(lambda: store.get("film", folder / "copy")):
                (name, found), *others = digests(folder).items()
                assert (name, others) == ("copy", [])
                assert found in (digest(content), digest(b"earlier")) if cancelled else found == digest(content)
                write(folder / "copy", b"earlier")
