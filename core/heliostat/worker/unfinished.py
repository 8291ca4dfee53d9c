"""A file that appears under its name when it is whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def unfinished_file(folder: Path) -> Iterator[BinaryIO]:
    """A new file to be written, settled, and renamed to where it belongs on the same disk. Gone afterwards if it was
    not renamed. Its present name is its attribute `name`."""
    path = folder / f".heliostat-{secrets.token_hex(8)}"
    try:
        with open(path, "xb") as file:
            yield file
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def settle(file: BinaryIO) -> None:
    """To be called before the rename, which may reach the disk before the data otherwise."""
    file.flush()
    os.fsync(file.fileno())
