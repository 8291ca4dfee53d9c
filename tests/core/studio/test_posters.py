"""Pictures of films: bounded in time and size, and made once."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heliostat.studio import posters as posters_module
from heliostat.studio.posters import Posters
from heliostat.worker import find_ffmpeg

FFMPEG = find_ffmpeg()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    if FFMPEG is None:
        pytest.skip("needs ffmpeg: pip install heliostat[video]")
    path = tmp_path / "film.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=size=64x36:rate=24,trim=end_frame=3", "-pix_fmt", "yuv420p")
    subprocess.run([FFMPEG, "-nostdin", "-v", "error", *source, path], check=True)
    return path


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
