"""The short form of a job: what it stands for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.model.codec import from_builtins, from_json, to_json
from heliostat.model.spec import Chunk, JobSpec, Merge, Metadata
from heliostat.planning.short_form import ShortForm, expand
from heliostat.planning.validate import validate


def job(**keys: Any) -> JobSpec:
    document = {"frames": 240, "fps": 24, "output": "{chunk}.png", "command": ["draw", "{output}"]} | keys
    return expand(from_builtins({key: value for key, value in document.items() if value is not None}, ShortForm))


def test_a_short_form_stands_for_a_whole_job() -> None:
    spec = job(
        name="sunrise",
        frames=5,
        fps="30000/1001",
        width=1280,
        height=720,
        chunkSize=3,
        output="chunks/{chunk:04d}.mp4",
        command=["python", "draw.py", "--start", "{start}", "--count", "{count}", "--output", "{output}"],
        progress=r"frame (\d+)",
        env={"NAME": "value"},
        id="one",
        assetsUrl="https://example.org/assets",
        merge={"stitcher": "ffmpeg", "output": "sunrise.mp4", "options": {"audioInput": ["-i", "sound.wav"]}},
    )
    assert spec == JobSpec(
        id="one",
        name="sunrise",
        metadata=Metadata(total_frames=5, fps=Fraction(30000, 1001), width=1280, height=720, duration=5 * 1001 / 30000),
        chunks=(
            Chunk(
                id=0,
                start_frame=0,
                frame_count=3,
                output_file="chunks/0000.mp4",
                command=("python", "draw.py", "--start", "0", "--count", "3", "--output", "chunks/0000.mp4"),
            ),
            Chunk(
                id=1,
                start_frame=3,
                frame_count=2,
                output_file="chunks/0001.mp4",
                command=("python", "draw.py", "--start", "3", "--count", "2", "--output", "chunks/0001.mp4"),
            ),
        ),
        merge=Merge(stitcher="ffmpeg", output="sunrise.mp4", options={"audioInput": ["-i", "sound.wav"]}),
        assets_url="https://example.org/assets",
        env={"NAME": "value"},
        progress=r"frame (\d+)",
    )


def test_every_placeholder_has_its_value() -> None:
    command = "{start} {end} {count} {step} {chunk} {fps} {width} {height} {start_time} {duration} {output}"
    spec = job(frames="1-11:2,20-24", fps="30000/1001", width=64, height=48, chunkSize=4, command=command)
    assert [chunk.command for chunk in spec.chunks] == [
        ("1", "5", "3", "2", "0", "30000/1001", "64", "48", "0.033366667", "0.1001", "0.png"),
        ("7", "11", "3", "2", "1", "30000/1001", "64", "48", "0.233566667", "0.1001", "1.png"),
        ("20", "22", "3", "1", "2", "30000/1001", "64", "48", "0.667333333", "0.1001", "2.png"),
        ("23", "24", "2", "1", "3", "30000/1001", "64", "48", "0.767433333", "0.066733333", "3.png"),
    ]


def test_formats_are_those_of_python() -> None:
    spec = job(frames=48, chunkSize=24, command="{start:05d} {start_time:.2f} {duration:g} {fps:.1f} {output:>8}")
    assert [chunk.command for chunk in spec.chunks] == [
        ("00000", "0.00", "1", "24.0", "   0.png"),
        ("00024", "1.00", "1", "24.0", "   1.png"),
    ]


def test_a_string_is_split_into_words_before_placeholders_are_filled_in() -> None:
    spec = job(frames=1, output="a b/{chunk}.png", command="draw 'two words' {output} \"{start} {end}\"")
    assert spec.chunks[0].command == ("draw", "two words", "a b/0.png", "0 0")


@pytest.mark.parametrize(
    ("keys", "sizes"),
    [
        ({"chunkSize": 100}, [80, 80, 80]),
        ({"chunkSize": 240}, [240]),
        ({"chunkSize": 1000}, [240]),
        ({"chunkCount": 7}, [35, 35, 34, 34, 34, 34, 34]),
        ({}, [15] * 16),
        ({"frames": 5}, [1] * 5),
        ({"frames": 24 * 60 * 10}, [240] * 60),
        ({"frames": 20, "fps": 0.05}, [1] * 20),
        ({"frames": "1-3,7"}, [1] * 4),
    ],
)
def test_sizes_are_balanced(keys: dict[str, Any], sizes: list[int]) -> None:
    """By default a chunk is ten seconds at most, and there are sixteen at least."""
    assert [chunk.frame_count for chunk in job(**keys).chunks] == sizes


def test_single_frames_have_step_1_and_ranges_have_their_own() -> None:
    spec = job(frames="1-9:4,30", chunkCount=2)
    assert [(chunk.start_frame, chunk.frame_count, chunk.step) for chunk in spec.chunks] == [(1, 3, 4), (30, 1, 1)]
    assert spec.metadata.ranges == "1-9:4,30"
    assert job(frames="5-9").metadata.ranges is None


frame_lists = st.integers(1, 500) | st.sampled_from(["3-77", "1-100:3,2-100:3", "0,5,10-90:7", "900-1000:10,1-10"])


@given(frame_lists, st.integers(1, 60) | st.none())
def test_what_it_stands_for_is_valid_and_comes_back_from_json(frames: int | str, size: int | None) -> None:
    spec = job(frames=frames, chunkSize=size)
    validate(spec, job_dir=Path("/job"))
    assert from_json(to_json(spec), JobSpec) == spec
