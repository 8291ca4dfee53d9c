"""`heliostat plan`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Heliostat = Callable[..., Any]
JobFile = Callable[..., Path]


def test_prints_chunks_with_frames_outputs_and_commands(heliostat: Heliostat, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(
        'name = "sun"\nframes = "1-20:2"\nfps = "30000/1001"\nchunkCount = 2\noutput = "c/{chunk:03d}.mp4"\n'
        'command = ["echo", "a b", "{output}"]\nwidth = 1280\nheight = 720\n'
        'merge = { stitcher = "ffmpeg", output = "sun.mp4" }\n'
    )
    done = heliostat("plan", "job.toml")
    assert done.status == 0
    assert done.out.splitlines() == [
        "sun: 2 chunks, 10 frames at 30000/1001 frames/s, 1280x720",
        "chunk  frames   count  output     command",
        "0      1-9:2    5      c/000.mp4  echo 'a b' c/000.mp4",
        "1      11-19:2  5      c/001.mp4  echo 'a b' c/001.mp4",
        "joined by the stitcher ffmpeg into sun.mp4",
    ]


def test_the_table_ends_at_the_limit(heliostat: Heliostat, job_file: JobFile) -> None:
    done = heliostat("plan", job_file(chunks=5), "--limit", "2")
    assert done.out.splitlines()[-1] == "and 3 more chunks"
    assert len(heliostat("plan", job_file(chunks=5), "--limit", "0").out.splitlines()) == 2


def test_json_is_the_long_form_that_render_takes_as_well(
    heliostat: Heliostat, job_file: JobFile, tmp_path: Path
) -> None:
    done = heliostat("plan", job_file(chunks=3), "--json")
    assert [chunk["id"] for chunk in done.json["chunks"]] == [0, 1, 2]
    (tmp_path / "long.json").write_text(done.out)
    assert heliostat("plan", "long.json", "--json").json == done.json


def test_runs_and_stores_nothing(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    job = job_file()
    heliostat("plan", job)
    assert list(tmp_path.iterdir()) == [job]


def test_what_a_terminal_would_obey_is_not_printed(heliostat: Heliostat, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(
        json.dumps({"name": "\x1b[2J", "frames": 1, "fps": 1, "output": "o", "command": ["echo", "\x1b[31m"]})
    )
    assert "\x1b" not in heliostat("plan", "job.json").out
