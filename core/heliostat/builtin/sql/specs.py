"""Specifications as compressed parts. One never changes, so that of a job is decoded once and kept."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from heliostat.model.codec import from_json, to_json
from heliostat.model.spec import Chunk, JobSpec

T = TypeVar("T")

SLICE: Final = 10_000
"""Chunks encoded in one go: it takes some megabytes, and the interpreter lock for some milliseconds."""
KEPT: Final = 2_000_000
"""Chunks of all specifications that are kept; each specification counts as `_OWN` chunks more than it has."""
_OWN = 1_000
HEADS_KEPT: Final = 100_000
"""Specifications of which all but the chunks is kept; it takes about a kilobyte each."""


def pack(spec: JobSpec) -> list[bytes]:
    """The specification without its chunks, then slices of these; each as JSON, compressed with zlib."""
    parts = [to_json(msgspec.structs.replace(spec, chunks=()))]
    return [zlib.compress(part, 1) for part in parts] + [
        zlib.compress(to_json(chunks), 1) for _, chunks in slices(spec.chunks)
    ]


def unpack(parts: Iterable[bytes]) -> JobSpec:
    head, *rest = parts
    chunks: list[Chunk] = []
    for part in rest:
        chunks += from_json(zlib.decompress(part), list[Chunk])
    return msgspec.structs.replace(unpack_head(head), chunks=tuple(chunks))


def unpack_head(part: bytes) -> JobSpec:
    """The specification without its chunks, from the first of its parts."""
    return from_json(zlib.decompress(part), JobSpec)


def slices(rows: Sequence[T]) -> Iterator[tuple[int, Sequence[T]]]:
    """Slices of `SLICE` rows, each with the index of its first."""
    for first in range(0, len(rows), SLICE):
        yield first, rows[first : first + SLICE]


class SpecCache:
    """The specifications used last, by the job's number. Safe to use from several threads."""

    def __init__(self) -> None:
        self._specs: OrderedDict[int, JobSpec] = OrderedDict()
        self._heads: OrderedDict[int, JobSpec] = OrderedDict()
        self._lock = threading.Lock()
        self._chunks = 0

    def head(self, number: int) -> JobSpec | None:
        """The specification without its chunks."""
        with self._lock:
            if number in self._heads:
                self._heads.move_to_end(number)
            return self._heads.get(number)

    def put_head(self, number: int, head: JobSpec) -> None:
        with self._lock:
            self._heads[number] = head
            if len(self._heads) > HEADS_KEPT:
                self._heads.popitem(last=False)

    def get(self, number: int) -> JobSpec | None:
        with self._lock:
            if number in self._specs:
                self._specs.move_to_end(number)
            return self._specs.get(number)

    def put(self, number: int, spec: JobSpec) -> None:
        with self._lock:
            if number in self._specs:
                return
            self._specs[number] = spec
            self._chunks += len(spec.chunks) + _OWN
            while self._chunks > KEPT and len(self._specs) > 1:
                _, oldest = self._specs.popitem(last=False)
                self._chunks -= len(oldest.chunks) + _OWN
