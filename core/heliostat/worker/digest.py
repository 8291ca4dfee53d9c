"""SHA-256 of a file's content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import BinaryIO

_BLOCK = 1 << 20


def sha256(source: BinaryIO, *, copy_to: BinaryIO | None = None, between: Callable[[], object] | None = None) -> str:
    """The hexadecimal digest of what is left to read. What is read is also written to `copy_to`; `between` is called
    before every block, and may raise to end the work."""
    digest = hashlib.sha256()
    buffer = bytearray(_BLOCK)
    view = memoryview(buffer)
    while True:
        if between is not None:
            between()
        size = source.readinto(view)  # type: ignore[attr-defined]
        if not size:
            return digest.hexdigest()
        digest.update(view[:size])
        if copy_to is not None:
            copy_to.write(view[:size])
