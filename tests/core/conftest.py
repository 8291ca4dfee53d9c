"""What many tests of the core need."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest

from heliostat import Chunk, JobSpec, Metadata


@pytest.fixture
def make_spec() -> Callable[..., JobSpec]:
    """A job of `count` chunks of `frames` frames; its commands are never run unless the adapter runs commands."""

    def make(count: int, *, frames: int = 1, command: tuple[str, ...] = ("true",), **more: object) -> JobSpec:
        return JobSpec(
            metadata=Metadata(total_frames=count * frames, fps=Fraction(24)),
            chunks=tuple(
                Chunk(
                    id=index,
                    start_frame=index * frames,
                    frame_count=frames,
                    output_file=f"chunks/{index}.out",
                    command=command,
                )
                for index in range(count)
            ),
            **more,
        )

    return make
