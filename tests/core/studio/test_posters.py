"""Pictures of films: bounded in time and size, and made once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heliostat.studio import posters as posters_module
from heliostat.studio.posters import Posters
from heliostat.worker import find_ffmpeg

FFMPEG = find_ffmpeg()


MOTION_JPEG = ("-c:v", "mjpeg", "-q:v", "31", "-strict", "unofficial")
MEASURE = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[2:], close_fds=False).returncode
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
"""
"""Runs a command, and notes the kilobytes of memory that it had at the most."""


@pytest.fixture
def make_film(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, size: str, frames: int, *how: str) -> Path:
        if FFMPEG is None:
            pytest.skip("needs ffmpeg: pip install heliostat[video]")
        path = tmp_path / name
        source = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=24,trim=end_frame={frames}", "-pix_fmt", "yuv420p")
        subprocess.run([FFMPEG, "-nostdin", "-v", "error", *source, *how, path], check=True)
        return path

    return make


@pytest.fixture
def film(make_film: Callable[..., Path]) -> Path:
    return make_film("film.mp4", "64x36", 3)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a script in ffmpeg's place; returns the file in which it notes its runs."""

    def make(script: str) -> Path:
        path = tmp_path / "ffmpeg"
        path.write_text(f'#!/bin/sh\necho $$ >>"{tmp_path}/runs"\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setenv("HELIOSTAT_FFMPEG", str(path))
        return tmp_path / "runs"

    return make


async def test_a_picture_is_made_once_for_all_who_ask(film: Path, program: Callable[[str], Path]) -> None:
    runs = program(f'exec "{FFMPEG}" "$@"')
    posters = Posters()
    made = await asyncio.gather(*(posters.of(film.open("rb"), "film.mp4") for _ in range(5)))
    assert made[0] is not None
    assert made[0].jpeg.startswith(b"\xff\xd8\xff")
    assert all(one is made[0] for one in made)
    assert runs.read_text().count("\n") == 1
    film.write_bytes(film.read_bytes() + b"\0")
    again = await posters.of(film.open("rb"), "film.mp4")
    assert again is not None
    assert again.etag != made[0].etag


async def test_who_asked_first_may_go_away(film: Path) -> None:
    posters = Posters()
    first = asyncio.create_task(posters.of(film.open("rb"), "film.mp4"))
    await asyncio.sleep(0)
    first.cancel()
    assert await posters.of(film.open("rb"), "film.mp4") is not None


async def test_ffmpeg_that_does_not_end_is_killed(
    film: Path, program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, is_alive: Callable[[int], bool]
) -> None:
    runs = program("exec sleep 1000")
    monkeypatch.setattr(posters_module, "PATIENCE", 0.5)
    posters = Posters()
    assert await posters.of(film.open("rb"), "film.mp4") is None
    assert not any(is_alive(int(pid)) for pid in (runs.read_text().split() if runs.exists() else ()))
    assert await posters.of(film.open("rb"), "film.mp4") is None, "not tried again at once"
    assert not runs.exists() or runs.read_text().count("\n") == 1


@pytest.mark.parametrize("script", ["exec cat /dev/zero", "exit 1", "echo some; exit 1", ":"])
async def test_what_is_no_picture_is_none(script: str, film: Path, program: Callable[[str], Path]) -> None:
    program(script)
    assert await Posters().of(film.open("rb"), "film.mp4") is None


@pytest.mark.parametrize("name", ["film.txt", "film.html", "film", "film.m3u8"])
async def test_what_is_no_film_by_its_name_is_not_looked_at(
    name: str, film: Path, program: Callable[[str], Path]
) -> None:
    runs = program("exit 1")
    assert await Posters().of(film.open("rb"), name) is None
    assert not runs.exists()


@pytest.mark.parametrize("kind", [".mp4", ".ts", ".png"])
async def test_a_file_that_is_broken_or_empty_is_no_picture(kind: str, tmp_path: Path, film: Path) -> None:
    for data in (b"", film.read_bytes()[:400], b"\x89PNG\r\n\x1a\n" + bytes(50)):
        path = tmp_path / f"broken{kind}"
        path.write_bytes(data)
        file: Any = path.open("rb")
        assert await Posters().of(file, path.name) is None
        assert file.closed


async def test_of_the_frames_that_are_chosen_from_only_small_ones_are_kept(
    make_film: Callable[..., Path], program: Callable[[str], Path], tmp_path: Path
) -> None:
    """24 frames of 3072x1728 are 190 MB."""
    film = make_film("large.avi", "3072x1728", 24, *MOTION_JPEG)
    memory = tmp_path / "memory"
    (tmp_path / "measure.py").write_text(MEASURE)
    program(f'exec "{sys.executable}" -S "{tmp_path}/measure.py" "{memory}" "{FFMPEG}" "$@"')
    assert await Posters().of(film.open("rb"), film.name) is not None
    assert int(memory.read_text()) < 170_000


@pytest.mark.parametrize(("size", "is_made"), [("8192x4320", True), ("8208x4320", False)])
async def test_a_film_whose_frames_are_too_large_is_not_unpacked(
    size: str, is_made: bool, make_film: Callable[..., Path]
) -> None:
    film = make_film("huge.avi", size, 1, *MOTION_JPEG)
    assert (await Posters().of(film.open("rb"), film.name) is not None) is is_made
