"""A stitcher joins chunk outputs into the result."""

from __future__ import annotations

from abc import ABC, abstractmethod

from msgspec import Struct

from heliostat.model.result import Output
from heliostat.model.spec import JobSpec


class StitchRequest(Struct, frozen=True, kw_only=True):
    """The parts of one film, all on this machine."""

    spec: JobSpec
    job_dir: str
    parts: tuple[str, ...]
    """Chunk outputs in the order of `spec.chunks`; paths relative to `job_dir` or absolute."""
    output: str
    """The film, relative to `job_dir` or absolute inside it."""


class Stitcher(ABC):
    @abstractmethod
    async def stitch(self, request: StitchRequest) -> Output:
        """Join the parts; the output appears in one step. Raises StitchFailed. When cancelled, leaves nothing."""
