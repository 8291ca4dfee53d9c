"""The objects of one bucket, as an artifact store sees them, whichever service keeps them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final

from msgspec import Struct

from heliostat.errors import ArtifactError

DIGEST_METADATA: Final = "heliostat-sha256"
"""The metadata of an object that holds the SHA-256 of its content, in hexadecimal."""
MEANWHILE: Final = "somebody else changed it at the same time; try again"
DAMAGED: Final = "the content was damaged on its way, or its file changed meanwhile; try again"


class Taken(Exception):
    """The object was to be written if absent, and another writer has done so or is about to."""


class StoredObject(Struct, frozen=True, kw_only=True):
    """What the service says of an object."""

    key: str
    size: int
    """Bytes."""
    modified_at: datetime
    """UTC, by the service's clock: when this version was stored."""
    version: str
    """Changes with every write."""
    sha256: str | None
    """Of the content, in hexadecimal; None where whoever stored it left none, or where it was not asked for."""


class ObjectPage(Struct, frozen=True, kw_only=True):
    """A part of a listing, by object key."""

    objects: Sequence[StoredObject]
    next: str | None
    """What the next page is asked for with; None on the last."""


class Upload(ABC):
    """The upload of a large file: begun, its parts sent from whichever threads in whichever order, and completed; or
    aborted as long as it is pending. Steps block. The object appears with the last one, or not at all."""

    parts: int

    @property
    @abstractmethod
    def pending(self) -> bool:
        """The service keeps what was sent until it is told what shall become of it."""

    @abstractmethod
    def begin(self) -> None:
        """Raises Taken."""

    @abstractmethod
    def send(self, number: int) -> None:
        """One of the parts, from 0. Raises Taken, and ArtifactError when the file has changed."""

    @abstractmethod
    def complete(self) -> StoredObject:
        """Raises Taken."""

    @abstractmethod
    def abort(self) -> None:
        """Leave nothing behind."""


class Objects(ABC):
    """Each call is made on a thread and blocks it. All raise the errors of the service's SDK. Work that takes long
    calls the store's `Threads.check_on` between its steps."""

    batch: ClassVar[int]
    """Objects that are deleted in one request, at the most."""

    @abstractmethod
    def find(self, key: str) -> StoredObject | None:
        """Without its content; None when it is not there. A bucket that is not there is an error."""

    @abstractmethod
    def read(self, key: str, write: Callable[[bytes], object]) -> StoredObject | None:
        """Write the content to where it belongs, all of one version. None, and nothing written, when it is not
        there."""

    @abstractmethod
    def put(self, key: str, content: bytes, *, if_absent: bool) -> StoredObject:
        """Store it, its SHA-256 in the metadata, whole or not at all. Raises Taken."""

    @abstractmethod
    def upload(self, key: str, source: Path, *, if_absent: bool) -> Upload:
        """Of a file that is larger than one piece. It is read here, since its SHA-256 has to be known in the beginning;
        nothing is sent yet."""

    @abstractmethod
    def page(self, prefix: str, start: str | None) -> ObjectPage:
        """Objects whose key begins with the prefix, from the beginning or from what an earlier page said is next."""

    @abstractmethod
    def delete(self, objects: Sequence[StoredObject]) -> int:
        """At most `batch` of them; returns how many there were. Raises ArtifactError when some cannot be deleted."""

    @abstractmethod
    def link(self, key: str, seconds: int) -> str:
        """A URL by which anybody can fetch the object for so long."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""


def file_changed(path: object) -> ArtifactError:
    """A file is not what it was when its digest was taken."""
    return ArtifactError(f"{path}: {DAMAGED}")
