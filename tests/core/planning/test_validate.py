"""Jobs that are built in Python are held to the same rules as documents."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat import Chunk, JobSpec, Merge, Metadata
from heliostat.errors import SpecError
from heliostat.planning.validate import check_outputs, validate

MakeSpec = Callable[..., JobSpec]


def spec_of(runs: list[tuple[int, int]], total: int | None = None) -> JobSpec:
    """A job of chunks with these first frames and numbers of frames."""
    return JobSpec(
        metadata=Metadata(total_frames=sum(count for _, count in runs) if total is None else total, fps=Fraction(24)),
        chunks=tuple(
            Chunk(id=index, start_frame=start, frame_count=count, output_file=f"{index}", command="draw")
            for index, (start, count) in enumerate(runs)
        ),
    )


@given(st.integers(0, 100), st.lists(st.integers(1, 9), max_size=8), st.randoms())
def test_chunks_may_come_in_any_order(first: int, counts: list[int], random: Any) -> None:
    runs = [(first + sum(counts[:index]), count) for index, count in enumerate(counts)]
    random.shuffle(runs)
    validate(spec_of(runs))


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), max_size=5), st.integers(0, 30))
def test_a_job_is_valid_just_when_every_frame_of_one_run_is_in_one_chunk(
    runs: list[tuple[int, int]], total: int
) -> None:
    frames = sorted(frame for start, count in runs for frame in range(start, start + count))
    is_one_run = not frames or frames == list(range(frames[0], frames[0] + len(frames)))
    if is_one_run and total == len(frames):
        validate(spec_of(runs, total))
    else:
        with pytest.raises(SpecError):
            validate(spec_of(runs, total))


def test_a_job_without_chunks_is_valid() -> None:
    validate(spec_of([]), job_dir="/job")


@pytest.mark.parametrize(
    "output", ["a", "a/b.mp4", ".hidden/a", "./a", "a//b", "a/./b", "a/../b", "/job/a", "/job//a/b"]
)
def test_outputs_inside_the_job_directory(output: str) -> None:
    chunk = msgspec.structs.replace(spec_of([(0, 1)]).chunks[0], output_file=output)
    validate(msgspec.structs.replace(spec_of([(0, 1)]), chunks=(chunk,)), job_dir="/job")


@pytest.mark.parametrize(
    "output", ["..", "../a", "a/../../b", "/", "/a", "/jobs/a", "/job/../a", "/job", "/job/", ".", "./", "", "a\0"]
)
def test_outputs_that_are_not_inside_the_job_directory(output: str) -> None:
    chunk = msgspec.structs.replace(spec_of([(0, 1)]).chunks[0], output_file=output)
    spec = msgspec.structs.replace(spec_of([(0, 1)]), chunks=(chunk,))
    with pytest.raises(SpecError) as raised:
        check_outputs(spec, "/job")
    assert raised.value.path == "$.chunks[0].outputFile"


def test_a_folder_may_be_an_output(make_spec: MakeSpec) -> None:
    spec = make_spec(2)
    folders = tuple(msgspec.structs.replace(chunk, output_file=f"frames/{chunk.id}/") for chunk in spec.chunks)
    validate(msgspec.structs.replace(spec, chunks=folders), job_dir="/job")


def test_outputs_may_be_anywhere_when_there_is_no_job_directory_yet(make_spec: MakeSpec) -> None:
    spec = make_spec(1, merge=Merge(stitcher="ffmpeg", output="/elsewhere/film.mp4"))
    validate(spec)
    with pytest.raises(SpecError, match=r"^\$\.merge\.output: '/elsewhere/film.mp4' is outside of the job directory"):
        validate(spec, job_dir="/job")


def test_the_job_directory_may_be_the_root_or_relative(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(1, merge=Merge(stitcher="ffmpeg", output=f"{tmp_path}/film.mp4"))
    validate(spec, job_dir="/")
    monkeypatch.chdir(tmp_path)
    validate(spec, job_dir=".")


def test_a_frame_rate_that_no_document_can_hold_is_refused() -> None:
    spec = msgspec.structs.replace(spec_of([]), metadata=Metadata(total_frames=0, fps=Fraction(-1)))
    with pytest.raises(SpecError, match=r"^\$\.metadata\.fps: a frame rate must be above 0, got -1$"):
        validate(spec)
