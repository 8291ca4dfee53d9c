"""Which ffmpeg is found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from heliostat.worker.ffmpeg import find_ffmpeg
from heliostat.worker.runtime import run_chunk


@pytest.fixture
def folder_with_ffmpeg(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ffmpeg").write_text('#!/bin/sh\necho "$0" > "$1"\n')
    (folder / "ffmpeg").chmod(0o755)
    return folder


def test_the_variable_comes_before_the_path_and_that_before_the_package(folder_with_ffmpeg: Path) -> None:
    on_path = {"PATH": str(folder_with_ffmpeg)}
    assert find_ffmpeg(on_path | {"HELIOSTAT_FFMPEG": "/opt/ffmpeg"}) == "/opt/ffmpeg"
    assert find_ffmpeg(on_path) == str(folder_with_ffmpeg / "ffmpeg")
    packaged = find_ffmpeg({"PATH": "/nowhere"})
    assert packaged is not None
    assert "imageio_ffmpeg" in packaged
    assert os.access(packaged, os.X_OK)


def test_by_default_the_environment_of_this_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELIOSTAT_FFMPEG", "/opt/ffmpeg")
    assert find_ffmpeg() == "/opt/ffmpeg"


async def test_a_command_may_simply_say_ffmpeg(
    request_for: Any, recorder: Any, folder_with_ffmpeg: Path, tmp_path: Path
) -> None:
    chosen = str(folder_with_ffmpeg / "ffmpeg")
    request = request_for(["ffmpeg", "out.bin"], env={"PATH": "/usr/bin:/bin", "HELIOSTAT_FFMPEG": chosen})
    assert (await run_chunk(request, recorder)).exit_code == 0
    assert (tmp_path / "out.bin").read_text() == f"{chosen}\n"


async def test_the_packaged_ffmpeg_is_used_where_none_is_on_the_path(request_for: Any, recorder: Any) -> None:
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=size=16x16:rate=24", "-frames:v", "6"]
    request = request_for([*command, "-progress", "pipe:1", "out.mkv"], output_file="out.mkv", frame_count=6)
    result = await run_chunk(request, recorder)
    assert result.exit_code == 0, result
    assert recorder.frames[-1] == 6
