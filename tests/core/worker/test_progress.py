"""Frames done, from each dialect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.errors import Misconfigured
from heliostat.model.cause import Cause
from heliostat.worker.progress import ProgressParser
from heliostat.worker.runtime import run_chunk


@pytest.mark.parametrize(
    ("lines", "frames"),
    [
        (b"openjd_progress: 50\n", 120),
        (b"openjd_progress:12.5\n", 30),
        (b"openjd_progress: 100.0\r\n", 240),
        (b"openjd_progress: 250\n", 240),
        (b"openjd_progress: nan\n", 0),
        (b"openjd_progress: -3\n", 0),
        (b"see: openjd_progress: 50\n", 0),
        (b"frame=17\nfps=24.0\nprogress=continue\n", 17),
        (b"frame=  123 fps= 24 q=28.0 size=     256kB time=00:00:05.04\r", 123),
        (b"frame=1\rframe=2\rframe=3\r", 3),
        (b"frame=999999999999999999999999\n", 0),
        (b"keyframe=7\n", 0),
        (b"\xff\xfeframe=7\nframe=8\n", 8),
        (b"nothing of interest\n", 0),
    ],
)
def test_known_lines(lines: bytes, frames: float) -> None:
    parser = ProgressParser(240)
    assert parser.feed("stdout", lines) is (frames > 0)
    assert parser.frames_done == frames


@pytest.mark.parametrize(
    ("pattern", "lines", "frames"),
    [
        (r"Rendered (\d+) of \d+", "Rendered 3 of 9\nRendered 4 of 9\n", 4),
        (r"^(?P<of>\d+):(?P<frames>\d+)$", "240:12\nx240:13\n", 12),
        (r"Bild № (\d+)", "Bild № 5\n", 5),
        (r"at (\S+)", "at nothing\nat inf\nat nan\nat 2.5\n", 2.5),
        (r"(\d+)?done", "done\n7done\n", 7),
        (r"frame:\s*(\d+)", "frame:\n12\n", 0),
        (r"Fra:(\d+)", "frame=99\nprogress=end\nFra:2 Mem:8M\n", 2),
        (r"Fra:(\d+)", "openjd_progress: 50\n", 120),
    ],
)
def test_the_specification_s_own_expression(pattern: str, lines: str, frames: float) -> None:
    parser = ProgressParser(240, pattern)
    parser.feed("stderr", lines.encode())
    assert parser.frames_done == frames
    assert parser.encoded_frames is None


@pytest.mark.parametrize(("pattern", "complaint"), [("(", "is not a regular expression"), ("done", "has no group")])
def test_an_expression_that_is_of_no_use_is_misconfigured(pattern: str, complaint: str) -> None:
    with pytest.raises(Misconfigured, match=complaint):
        ProgressParser(240, pattern)


def test_frames_never_fall() -> None:
    parser = ProgressParser(240)
    assert parser.feed("stdout", b"frame=100\n")
    assert not parser.feed("stderr", b"frame=90\nopenjd_progress: 1\n")
    assert parser.frames_done == 100


def test_the_newest_status_is_kept() -> None:
    parser = ProgressParser(240)
    parser.feed("stdout", b"openjd_status: loading\nopenjd_status:  drawing \xc3\xa9 \n")
    assert parser.status == "drawing é"


def test_frames_of_ended_encodes_add_up() -> None:
    parser = ProgressParser(240)
    parser.feed("stdout", b"frame=1\nprogress=continue\nframe=120\nprogress=end\n")
    parser.feed("stdout", b"out_time=00:00:05\nprogress=end\n")  # an encode of sound has no frames
    assert parser.encoded_frames == 120
    parser.feed("stdout", b"frame=120\nprogress=end\n")
    assert parser.encoded_frames == 240


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"frame=5\n", b"openjd_progress: 7\n", b"progress=end\n"])))
def test_any_bytes_do_no_harm(blocks: list[bytes]) -> None:
    parser = ProgressParser(240, r"(\d+)")
    seen = [0.0]
    for block in blocks:
        assert parser.feed("stdout", block) is (parser.frames_done > seen[-1])
        seen.append(parser.frames_done)
    assert seen == sorted(seen)
    assert 0 <= seen[-1] <= 240


@pytest.mark.parametrize(
    ("script", "fields", "frames"),
    [
        ("echo openjd_progress: 25; sleep 0.1; echo openjd_progress: 100", {}, [60, 240]),
        (r"printf 'frame=   10 fps=0\r' >&2; sleep 0.1; printf 'frame=  240 fps=0\r\n' >&2", {}, [10, 240]),
        ("printf 'fra'; sleep 0.1; printf 'me=1'; sleep 0.1; printf '2\nprogress=continue\n'", {}, [12]),
        ("printf 'Fra:7 Mem:8M'", {"progress": r"Fra:(\d+)"}, [7]),
    ],
)
async def test_what_a_command_says_is_reported_while_it_runs(
    request_for: Any, recorder: Any, script: str, fields: dict[str, str], frames: list[float]
) -> None:
    result = await run_chunk(request_for(["sh", "-c", f"{script}; echo x > out.bin"], **fields), recorder)
    assert result.exit_code == 0
    assert recorder.frames == frames


async def test_an_encode_that_ended_early_is_a_bad_output(request_for: Any, recorder: Any, names: Any) -> None:
    script = 'printf "frame=200\\nprogress=end\\n"; echo x > "$1"'
    result = await run_chunk(request_for(["sh", "-c", script, "sh", "out.bin"]), recorder)
    assert (result.exit_code, result.cause) == (1, Cause.BAD_OUTPUT)
    assert result.message == "ffmpeg wrote 200 of 240 frames; see why its input ended early"
    assert names() == []
