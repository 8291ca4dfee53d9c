"""The example film: its frames depend on nothing but their number, its chunks join exactly, its mirrors aim right."""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from heliostat.planning.load import load_spec
from heliostat.worker.ffmpeg import find_ffmpeg

SUNRISE = Path(__file__).parents[3] / "core" / "examples" / "sunrise"
MODULES = ("brush", "field", "scene", "backdrop", "foreground", "draw")


@pytest.fixture(scope="module")
def film() -> Iterator[dict[str, ModuleType]]:
    """The example's modules, by name."""
    sys.path.insert(0, str(SUNRISE))
    try:
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(SUNRISE))
        for name in MODULES:
            sys.modules.pop(name, None)


def draw(*arguments: object, cwd: Path) -> str:
    """Runs the example's command in a process of its own and returns what it printed."""
    environment = {**os.environ, "HELIOSTAT_FFMPEG": ffmpeg()}
    command = [sys.executable, str(SUNRISE / "draw.py"), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd, env=environment).stdout


def ffmpeg() -> str:
    found = find_ffmpeg()
    assert found, "install the extra `video`, or an ffmpeg"
    return found


def frames(video: Path) -> list[tuple[str, str]]:
    """Timestamp and hash of every decoded frame."""
    command = [ffmpeg(), "-v", "error", "-i", str(video), "-map", "0:v", "-f", "framemd5", "-"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [line.replace(" ", "").split(",") for line in lines if not line.startswith("#")]
    return [(row[2], row[-1]) for row in rows]


@pytest.mark.parametrize("number", [0, 60, 120, 239])
def test_a_frame_is_a_pure_function_of_its_number(film: dict[str, ModuleType], tmp_path: Path, number: int) -> None:
    """Drawn twice here, after other frames, and once in another process, a frame has the same pixels."""
    size = (320, 180)
    first = film["draw"].picture(number, 24.0, *size)
    film["draw"].picture((number + 77) % 240, 24.0, *size)
    assert film["draw"].picture(number, 24.0, *size).tobytes() == first.tobytes()
    draw("--frame", number, "--width", size[0], "--height", size[1], "--png", "other.png", cwd=tmp_path)
    with Image.open(tmp_path / "other.png") as other:
        assert other.tobytes() == first.tobytes()


def test_joined_chunks_are_the_frames_of_one_run(tmp_path: Path) -> None:
    """Two chunks, joined without re-encoding, decode to the frames and timestamps of a single run."""
    small = ("--width", 160, "--height", 90, "--fps", "24")
    for name, start, count in (("whole.mp4", 60, 27), ("one.mp4", 60, 24), ("two.mp4", 84, 3)):
        printed = draw("--start", start, "--count", count, *small, "--output", name, cwd=tmp_path)
        assert f"frame={count}\n" in printed
        assert printed.endswith("progress=end\n")
    (tmp_path / "list").write_text("file one.mp4\nfile two.mp4\n")
    join = [ffmpeg(), "-v", "error", "-f", "concat", "-i", "list", "-c", "copy", "joined.mp4"]
    subprocess.run(join, check=True, cwd=tmp_path)
    joined = frames(tmp_path / "joined.mp4")
    assert len(joined) == 27
    assert joined == frames(tmp_path / "whole.mp4")


def test_a_failure_of_ffmpeg_is_the_status_of_the_command(tmp_path: Path) -> None:
    """A chunk that ffmpeg cannot write does not look like a success."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        draw("--count", 2, "--width", 160, "--height", 90, "--output", "missing/part.mp4", cwd=tmp_path)
    assert "missing/part.mp4" in caught.value.stderr


@settings(deadline=None)
@given(
    x=st.floats(-400, 400),
    y=st.floats(-150, 500),
    azimuth=st.floats(-90, 90),
    elevation=st.floats(0, 60),
)
def test_an_aimed_mirror_sends_the_sun_to_the_receiver(
    film: dict[str, ModuleType], x: float, y: float, azimuth: float, elevation: float
) -> None:
    """The reflected ray, followed to the receiver's distance, passes within a millimetre of its middle."""
    field = film["field"]
    a, e = math.radians(azimuth), math.radians(elevation)
    sun = (math.sin(a) * math.cos(e), math.cos(a) * math.cos(e), math.sin(e))
    place = (x, y, field.PIVOT)
    normal = field.aim(place, sun)
    ray = field.reflect((-sun[0], -sun[1], -sun[2]), normal)
    reach = math.dist(place, field.RECEIVER)
    hit = tuple(start + reach * way for start, way in zip(place, ray, strict=True))
    assert math.dist(hit, field.RECEIVER) < 1e-3
    assert field.on_target(place, normal, sun) == pytest.approx(1.0)


def test_the_field_wakes_flat_and_ends_on_target(film: dict[str, ModuleType]) -> None:
    """At the start every mirror lies flat and misses; at the end every mirror hits, and the receiver glows fully."""
    scene = film["scene"]
    night, morning = scene.Scene(0.0, 320, 180), scene.Scene(9.95, 320, 180)
    assert night.power == 0.0
    assert morning.power == pytest.approx(1.0)


def test_the_job_covers_every_frame_in_chunks_of_whole_groups(film: dict[str, ModuleType]) -> None:
    """The example's job is valid, lasts ten seconds, and cuts where the encoder begins a new group of frames."""
    spec = load_spec(SUNRISE / "job.toml")
    assert spec.metadata.total_frames == spec.metadata.fps * 10 == 240
    assert sum(chunk.frame_count for chunk in spec.chunks) == 240
    assert all(chunk.start_frame % film["draw"].KEYFRAMES == 0 for chunk in spec.chunks)
