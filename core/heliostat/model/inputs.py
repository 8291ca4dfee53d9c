"""The inputs of a job as they lie in an artifact store: by content, with a manifest that gives them their names."""

from __future__ import annotations

from msgspec import Struct


class Input(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One file that the commands read."""

    path: str
    """Relative to the job directory, with `/`."""
    size: int
    """Bytes."""
    sha256: str
    executable: bool = False


class Manifest(Struct, frozen=True):
    """All inputs of a job, by path. It is itself stored by its content, so a worker may keep what it has fetched."""

    inputs: tuple[Input, ...] = ()
    version: int = 1
