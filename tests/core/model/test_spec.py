"""Job specifications as records and as JSON."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat import Chunk, JobSpec, Merge, Metadata
from heliostat.model.codec import from_builtins, from_json, to_builtins, to_json
from heliostat.model.spec import to_fraction


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (24, Fraction(24)),
        ("24", Fraction(24)),
        (" 25 ", Fraction(25)),
        (12.5, Fraction(25, 2)),
        ("30000/1001", Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (23.98, Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (119.88, Fraction(120000, 1001)),
        (30000 / 1001, Fraction(30000, 1001)),
        (24000 / 1001, Fraction(24000, 1001)),
        (0.1, Fraction(1, 10)),
        (1 / 3, Fraction(1, 3)),
        ("2997/100", Fraction(2997, 100)),
        (Fraction(2997, 100), Fraction(2997, 100)),
    ],
)
def test_a_frame_rate_is_the_exact_rate_that_is_meant(written: object, meant: Fraction) -> None:
    assert to_fraction(written) == meant


@pytest.mark.parametrize(
    "nonsense",
    [
        0,
        -1,
        "0",
        "-24",
        "1/0",
        "",
        "fast",
        "1e9",
        "1e999999999",
        "24 fps",
        "٢٤",
        True,
        None,
        [24],
        10**9,
        1e-09,
        float("nan"),
        float("inf"),
    ],
)
def test_what_is_no_frame_rate_is_refused(nonsense: object) -> None:
    with pytest.raises(ValueError, match="frame rate"):
        to_fraction(nonsense)


rates = st.builds(Fraction, st.integers(1, 10**6), st.integers(1, 10**4)).filter(
    lambda rate: rate >= Fraction(1, 10**4)
)


@given(rates)
def test_a_frame_rate_comes_back_from_json_exactly(rate: Fraction) -> None:
    metadata = Metadata(total_frames=1, fps=rate)
    assert from_json(to_json(metadata), Metadata) == metadata


texts = st.text(max_size=8)
chunks = st.builds(
    Chunk,
    id=st.integers() | texts,
    start_frame=st.integers(0, 10**9),
    frame_count=st.integers(1, 10**9),
    output_file=texts,
    command=texts | st.lists(texts).map(tuple),
    step=st.integers(1, 9),
)
specs = st.builds(
    JobSpec,
    metadata=st.builds(
        Metadata,
        total_frames=st.integers(0, 10**9),
        fps=rates,
        width=st.none() | st.integers(1, 9999),
        duration=st.none() | st.floats(0, 1e9),
        ranges=st.none() | texts,
    ),
    chunks=st.lists(chunks, max_size=3).map(tuple),
    id=st.none() | texts,
    name=texts,
    merge=st.none() | st.builds(Merge, stitcher=texts, output=texts, options=st.dictionaries(texts, st.integers())),
    env=st.dictionaries(texts, texts),
    progress=st.none() | texts,
)


@given(specs)
def test_a_job_comes_back_from_json_as_it_was(spec: JobSpec) -> None:
    assert from_json(to_json(spec), JobSpec) == spec
    assert from_builtins(to_builtins(spec), JobSpec) == spec


def test_the_json_has_the_names_that_the_helios_cli_writes() -> None:
    chunk = Chunk(id=0, start_frame=0, frame_count=24, output_file="/out/0.mp4", command="helios render")
    spec = JobSpec(metadata=Metadata(total_frames=24, fps=Fraction(24)), chunks=(chunk,), merge_command="helios merge")
    expected: dict[str, Any] = {
        "metadata": {"totalFrames": 24, "fps": 24},
        "chunks": [
            {"id": 0, "startFrame": 0, "frameCount": 24, "outputFile": "/out/0.mp4", "command": "helios render"}
        ],
        "mergeCommand": "helios merge",
    }
    assert msgspec.json.decode(to_json(spec)) == expected
