"""`heliostat transcode`: a real video, encoded in chunks by real ffmpeg processes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heliostat.planning.video import probe
from heliostat.worker.ffmpeg import find_ffmpeg

Heliostat = Callable[..., Any]

pytestmark = pytest.mark.skipif(find_ffmpeg() is None, reason="needs ffmpeg: pip install 'heliostat[video]'")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    ffmpeg = find_ffmpeg()
    assert ffmpeg is not None
    source = tmp_path / "holiday ü.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=30000/1001:duration=3"]
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:duration=3"]
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]
    subprocess.run([ffmpeg, "-v", "error", *picture, *sound, *coding, source], check=True)
    return source


def test_makes_the_film_and_leaves_nothing_else(heliostat: Heliostat, video: Path, tmp_path: Path) -> None:
    done = heliostat("transcode", video, "-o", "out.mp4", "--chunk-seconds", "1", "--video-args", "-c:v libx264 -qp 30")
    assert done.status == 0, done.err
    assert "3 chunks, 90 frames" in done.err
    before, after = probe(video), probe(tmp_path / "out.mp4")
    assert [at * after.time_base for at in after.frames] == [at * before.time_base for at in before.frames]
    assert not (tmp_path / ".heliostat-out.mp4").exists()


def test_keeps_the_chunks_when_asked_to(heliostat: Heliostat, video: Path, tmp_path: Path) -> None:
    done = heliostat("transcode", video, "-o", "out.mkv", "--chunk-seconds", "1", "--keep-chunks")
    assert done.status == 0, done.err
    assert len(list((tmp_path / ".heliostat-out.mkv").glob("*.nut"))) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.mp4", "-o", "out.mp4"], "missing.mp4 does not exist; give the path of a video"),
        (["note.txt", "-o", "out.mp4"], "note.txt"),
        (["holiday ü.mp4", "-o", "out.mp4", "--chunk-seconds", "0"], "chunk"),
        (["holiday ü.mp4", "-o", "out.mp4", "--video-args", "'-c:v"], "quot"),
        (["holiday ü.mp4", "-o", "nowhere/out.mp4"], "nowhere"),
    ],
)
def test_says_in_one_line_what_is_wrong(
    heliostat: Heliostat, video: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "note.txt").write_text("no video")
    done = heliostat("transcode", *arguments)
    assert done.status == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1, done.err
