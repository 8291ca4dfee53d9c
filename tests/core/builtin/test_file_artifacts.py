"""The artifact store that is a directory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from heliostat import open_artifact_store
from heliostat.builtin.file_artifacts import FileArtifactOptions, FileArtifactStore, register_artifact_stores
from heliostat.errors import ArtifactError, SpecError
from heliostat.testing.artifacts import ArtifactStoreContract, Open


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "a store"


@pytest.fixture
async def store(root: Path) -> AsyncIterator[FileArtifactStore]:
    async with FileArtifactStore(FileArtifactOptions(url=f"file://{root}")) as store:
        yield store


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film"
    path.write_bytes(b"film")
    return path


def files(root: Path) -> list[str]:
    """Artifacts and whatever else lies in the store, but for digests."""
    found = (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith(".heliostat/digests/"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


class TestFileArtifactStore(ArtifactStoreContract):
    @pytest.fixture
    def under_test(self, root: Path) -> Open:
        return lambda: open_artifact_store(f"file://{root}")


async def test_an_artifact_is_a_plain_file_under_the_store_s_url(
    store: FileArtifactStore, root: Path, film: Path
) -> None:
    await store.put("a/b", film)
    assert store.url == f"file://{root}".replace(" ", "%20")
    assert contents(root / "a") == {"b": b"film"}


async def test_a_damaged_artifact_is_not_handed_out(
    store: FileArtifactStore, root: Path, film: Path, tmp_path: Path
) -> None:
    await store.put("a", film)
    found = (root / "a").stat()
    (root / "a").write_bytes(b"fi1m")
    os.utime(root / "a", ns=(found.st_atime_ns, found.st_mtime_ns))
    (tmp_path / "copy").write_text("earlier")
    with pytest.raises(ArtifactError, match=r"/a is damaged, its SHA-256 has changed; store it again"):
        await store.get("a", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "earlier"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


async def test_a_file_that_was_put_there_by_other_means_is_an_artifact(
    store: FileArtifactStore, root: Path, film: Path, tmp_path: Path
) -> None:
    await store.put("a", film)
    for content in (b"by hand", b"again!!"):
        (root / "a").unlink()
        (root / "a").write_bytes(content)
        artifact = await store.stat("a")
        assert artifact is not None
        assert artifact.sha256 == hashlib.sha256(content).hexdigest()
        assert await store.get("a", tmp_path / "copy") == artifact


async def test_a_store_is_left_without_empty_folders_and_unfinished_files(
    store: FileArtifactStore, root: Path, film: Path
) -> None:
    for key in ("jobs/1/b", "jobs/1/a/x", "jobs/10/a"):
        await store.put(key, film)
        await store.put(key, film, if_absent=True)
    await store.delete("jobs/1/")
    assert sorted(os.listdir(root / "jobs")) == ["10"]
    await store.put("jobs/1", film)  # the folder is gone, so the name is free
    await asyncio.gather(*(store.put("a", film, if_absent=number % 2 == 0) for number in range(16)))
    assert files(root) == ["a", "jobs/1", "jobs/10/a"]
    await store.delete("")
    assert os.listdir(root) == [".heliostat"]
    assert files(root) == []
    assert os.listdir(root / ".heliostat" / "digests") == []


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".", "link/x", ".heliostat/x", "a\0"]
)
async def test_keys_do_not_leave_the_store(
    store: FileArtifactStore, root: Path, film: Path, tmp_path: Path, key: str
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("precious")
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(ArtifactError, match="is no key of"):
        await store.put(key, film)
    with pytest.raises(ArtifactError, match="is no key of"):
        await store.get(key, film)
    if key not in ("", ".", "a/", "a\0"):
        for call in (store.list, store.delete):
            with pytest.raises(ArtifactError, match="is no key of"):
                await call(key)
    assert files(tmp_path / "outside") == ["x"]


async def test_a_symbolic_link_is_no_artifact(store: FileArtifactStore, root: Path, tmp_path: Path) -> None:
    (root / "link").symlink_to("/etc/passwd")
    assert await store.stat("link") is None
    assert await store.list() == []
    with pytest.raises(ArtifactError, match="does not exist"):
        await store.get("link", tmp_path / "copy")


async def test_a_put_that_is_cancelled_stops_in_the_middle(store: FileArtifactStore, root: Path, film: Path) -> None:
    os.truncate(film, 200 << 30)  # more than it could copy within the time of a test
    task = asyncio.create_task(store.put("big", film))
    while not files(root):
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(root) == []


@pytest.fixture
def tiny_disk(root: Path) -> Iterator[None]:
    root.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", root], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a file system here: {done.stderr.strip()}")
    yield
    subprocess.run(["umount", root], check=True)


@pytest.mark.usefixtures("tiny_disk")
async def test_a_full_disk_is_said_in_a_sentence(store: FileArtifactStore, root: Path, film: Path) -> None:
    fill(film, bytes(1 << 20))
    with pytest.raises(ArtifactError, match=r"No space left on device; see that it exists, .* has room"):
        await store.put("big", film)
    assert files(root) == []


@pytest.mark.parametrize("url", ["file:relative", "file://host/path", "file://", "http://x/y"])
def test_a_url_of_no_directory_is_refused(url: str) -> None:
    with pytest.raises(SpecError, match="is no URL of a directory; write file:///path"):
        FileArtifactStore(FileArtifactOptions(url=url))


def test_it_is_registered_by_its_scheme() -> None:
    registered: dict[str, Any] = {}
    register_artifact_stores(
        lambda name, factory, *, options=None, summary="": registered.update({name: (factory, options)})
    )
    assert registered == {"file": (FileArtifactStore, FileArtifactOptions)}


def test_its_module_is_cheap_to_import() -> None:
    program = "import sys; import heliostat.builtin.file_artifacts; print({'asyncio', 'hashlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
