"""The artifact store `file`: a directory. The artifact of key `a/b` is the file `a/b` in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Self, TypeVar
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

from heliostat.contracts.artifacts import Artifact, ArtifactStore
from heliostat.errors import ArtifactError, SpecError
from heliostat.hookspecs import Register, hookimpl

T = TypeVar("T")
CheckOn = Callable[[], None]
"""Called now and then by work on a thread; raises when its caller was cancelled."""

_OWN = ".heliostat"
"""The folder in the store that holds what is no artifact: digests, and files that are not whole yet."""
_TRIES = 100
"""How often a folder is made that others remove."""


class FileArtifactOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the artifact store `file`."""

    url: str
    """`file:///path/of/a/directory`; it is made when it is not there."""


class FileArtifactStore(ArtifactStore):
    """A directory, which processes and machines may share.

    `.heliostat/digests/KEY` in it holds the SHA-256 of the artifact, with the size, time and number of the file that it
    belongs to. Where these no longer fit, because the file was put there by other means, the digest is taken anew; so
    neither a crash between two steps nor two writers at once can pair a file with another's digest.
    """

    def __init__(self, options: FileArtifactOptions) -> None:
        self._root = _directory(options.url)
        self.url = f"file://{quote(str(self._root))}"

    async def __aenter__(self) -> Self:
        await self._on_thread(lambda _: (self._root / _OWN / "new").mkdir(parents=True, exist_ok=True))
        return self

    async def put(self, key: str, source: Path, *, if_absent: bool = False) -> Artifact:
        return await self._on_thread(lambda check_on: self._put(key, source, if_absent, check_on))

    async def get(self, key: str, destination: Path) -> Artifact:
        return await self._on_thread(lambda check_on: self._get(key, destination, check_on))

    async def stat(self, key: str) -> Artifact | None:
        return await self._on_thread(lambda check_on: self._stat(key, check_on))

    async def list(self, prefix: str = "") -> list[Artifact]:
        def found(check_on: CheckOn) -> Iterator[Artifact]:
            for key in self._keys(prefix):
                if (artifact := self._stat(key, check_on)) is not None:
                    yield artifact

        return await self._on_thread(lambda check_on: [*found(check_on)])

    async def delete(self, prefix: str) -> int:
        return await self._on_thread(lambda _: sum(map(self._delete, self._keys(prefix))))

    def _put(self, key: str, source: Path, if_absent: bool, check_on: CheckOn) -> Artifact:
        target = self._path(key)
        if if_absent and (there := self._stat(key, check_on)) is not None:
            return there
        with open(source, "rb", buffering=0) as file, _copy(file, self._root / _OWN / "new", check_on) as (new, digest):
            artifact = _artifact(key, digest, found := os.fstat(new.fileno()))
            if if_absent:
                try:
                    _in_folder(
                        target, lambda: os.link(new.name, target)
                    )  # unlike a rename it fails when the name is taken
                except FileExistsError:
                    if (there := self._stat(key, check_on)) is not None:
                        return there
                    raise
                self._record(key, digest, found)
            else:
                self._record(key, digest, found)
                _in_folder(target, lambda: os.replace(new.name, target))
        return artifact

    def _get(self, key: str, destination: Path, check_on: CheckOn) -> Artifact:
        file = self._open(key)
        if file is None:
            raise ArtifactError(f"{self.url}/{key} does not exist; store it first, or correct the key")
        with file:
            found = os.fstat(file.fileno())
            recorded = self._recorded(key, found)
            destination.parent.mkdir(parents=True, exist_ok=True)
            with _copy(file, destination.parent, check_on) as (new, digest):
                if recorded not in (None, digest):
                    raise ArtifactError(f"{self.url}/{key} is damaged, its SHA-256 has changed; store it again")
                os.replace(new.name, destination)
        return _artifact(key, digest, found)

    def _stat(self, key: str, check_on: CheckOn) -> Artifact | None:
        from heliostat.worker.digest import sha256

        file = self._open(key)
        if file is None:
            return None
        with file:
            found = os.fstat(file.fileno())
            digest = self._recorded(key, found)
            if digest is None:
                digest = sha256(file, between=check_on)
                self._record(key, digest, found)
        return _artifact(key, digest, found)

    def _delete(self, key: str) -> bool:
        self._path(key)
        for folder, required in ((self._root, True), (self._root / _OWN / "digests", False)):
            path = folder / key
            try:
                path.unlink()
            except OSError as error:
                if required and not isinstance(error, FileNotFoundError):
                    raise
                if required:
                    return False
            with contextlib.suppress(OSError):  # not empty
                for parent in path.parents:
                    if parent == folder:
                        break
                    parent.rmdir()
        return True

    def _keys(self, prefix: str) -> Sequence[str]:
        folder = prefix.rpartition("/")[0]
        start = self._path(f"{folder}/any").parent if folder else self._root
        keys = []
        for place, folders, names in os.walk(start):
            if Path(place) == self._root:
                folders[:] = [name for name in folders if name != _OWN]
            for name in names:
                key = os.path.relpath(os.path.join(place, name), self._root)
                if key.startswith(prefix):
                    keys.append(key)
        return sorted(keys)

    def _path(self, key: str) -> Path:
        """The file of a key. Raises ArtifactError for one that is not inside the store."""
        parts = key.split("/")
        path = self._root / key
        inside = {"", ".", ".."}.isdisjoint(parts) and parts[0] != _OWN and "\0" not in key
        if not inside or not path.parent.resolve().is_relative_to(self._root.resolve()):
            raise ArtifactError(f"{key!r} is no key of {self.url}; keys are relative paths such as jobs/1/part.mp4")
        return path

    def _open(self, key: str) -> BinaryIO | None:
        """The artifact's file; None when there is none. A symbolic link is none, it could lead out of the store."""
        path = self._path(key)
        try:
            return open(path, "rb", buffering=0) if path.is_file() and not path.is_symlink() else None
        except FileNotFoundError:
            return None

    def _recorded(self, key: str, found: os.stat_result) -> str | None:
        try:
            digest, _, stamp = (self._root / _OWN / "digests" / key).read_text("ascii").partition(" ")
        except (OSError, UnicodeDecodeError):
            return None
        return digest if stamp == _stamp(found) else None

    def _record(self, key: str, digest: str, found: os.stat_result) -> None:
        path = self._root / _OWN / "digests" / key
        new = self._root / _OWN / "new" / f".heliostat-{os.urandom(8).hex()}"
        with contextlib.suppress(OSError):  # without a record the digest is taken again
            path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(f"{digest} {_stamp(found)}", "ascii")
            os.replace(new, path)

    async def _on_thread(self, work: Callable[[CheckOn], T]) -> T:
        from threading import Event

        from heliostat.worker.threads import in_thread

        abandoned = Event()

        def check_on() -> None:
            if abandoned.is_set():
                raise ArtifactError("cancelled")

        try:
            return await in_thread(lambda: work(check_on), on_cancel=abandoned.set)
        except OSError as error:
            raise ArtifactError(
                f"{error.filename or self.url}: {error.strerror}; see that it exists, may be written to and has room"
            ) from error


def _directory(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/"):
        raise SpecError(f"{url!r} is no URL of a directory; write file:///path/of/a/directory")
    return Path(path)


@contextlib.contextmanager
def _copy(source: BinaryIO, folder: Path, check_on: CheckOn) -> Iterator[tuple[BinaryIO, str]]:
    """A copy of the file on the same disk as `folder`, to be renamed, and its digest. Gone afterwards if it was not."""
    from heliostat.worker.digest import sha256
    from heliostat.worker.unfinished import settle, unfinished_file

    with unfinished_file(folder) as new:
        digest = sha256(source, copy_to=new, between=check_on)
        settle(new)
        yield new, digest


def _in_folder(target: Path, place: Callable[[], None]) -> None:
    """Make the target's folder and call `place`: anew while others, who delete, remove the folder as long as it is
    empty. Raises OSError."""
    for tries_left in reversed(range(_TRIES)):
        try:
            with contextlib.suppress(FileExistsError):  # it came and went; if it is no folder, `place` will tell
                target.parent.mkdir(parents=True, exist_ok=True)
            place()
            break
        except FileNotFoundError:
            if not tries_left:
                raise


def _stamp(found: os.stat_result) -> str:
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def _artifact(key: str, digest: str, found: os.stat_result) -> Artifact:
    return Artifact(key=key, size=found.st_size, sha256=digest, modified_at=datetime.fromtimestamp(found.st_mtime, UTC))


@hookimpl
def register_artifact_stores(register: Register) -> None:
    register("file", FileArtifactStore, options=FileArtifactOptions, summary="A directory: file:///path.")
