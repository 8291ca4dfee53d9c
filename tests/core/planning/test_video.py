"""Planning a transcode: what is found in a video, how it is cut, and what is said of mistakes."""

from __future__ import annotations

import os
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.errors import SpecError
from heliostat.model.codec import from_json, to_json
from heliostat.model.spec import JobSpec
from heliostat.planning.packets import Packet
from heliostat.planning.video import _cut, _seek, plan_transcode, probe
from heliostat.worker.ffmpeg import find_ffmpeg


def ffmpeg(*arguments: str | Path) -> None:
    program = find_ffmpeg()
    assert program is not None
    subprocess.run([program, "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 frames at 24000/1001 with B-frames, and a sound of three seconds."""
    path = tmp_path_factory.mktemp("video") / "a video.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=24000/1001"]
    ffmpeg(*picture, "-f", "lavfi", "-i", "sine=duration=3", "-frames:v", "72", "-c:v", "libx264", "-g", "24", path)
    return path


def problem(source: str | Path, output: str | Path, **options: object) -> str:
    with pytest.raises(SpecError) as raised:
        plan_transcode(source, output, **options)  # type: ignore[arg-type]
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_a_video_is_described(video: Path) -> None:
    info = probe(video)
    assert (info.codec, info.pixel_format, info.width, info.height) == ("h264", "yuv420p", 160, 90)
    assert info.fps == Fraction(24000, 1001)
    assert len(info.frames) == 72
    assert info.duration == 72 / info.fps
    assert [stream.codec for stream in info.audio] == ["aac"]
    assert sum(packet.is_key for packet in info.packets) == 3


def test_decoding_every_frame_finds_the_same(video: Path) -> None:
    assert probe(video, decode=True) == probe(video)


def test_a_plan_writes_nothing_and_comes_back_from_json(video: Path, tmp_path: Path) -> None:
    spec = plan_transcode(video, tmp_path / "film.mkv", chunk_seconds=1)
    assert os.listdir(tmp_path) == []
    assert from_json(to_json(spec), JobSpec) == spec
    assert spec.name == "film"
    assert spec.metadata.total_frames == 72
    assert [(chunk.start_frame, chunk.frame_count) for chunk in spec.chunks] == [(0, 24), (24, 24), (48, 24)]
    assert [chunk.output_file for chunk in spec.chunks] == [f".heliostat-film.mkv/000{index}.nut" for index in range(3)]
    assert spec.merge is not None
    assert spec.merge.output == "film.mkv"


def test_another_job_directory_holds_chunks_and_film(video: Path, tmp_path: Path) -> None:
    spec = plan_transcode(video, tmp_path / "films/film.mp4", job_dir=tmp_path, name="night")
    assert spec.name == "night"
    assert spec.merge is not None
    assert spec.merge.output == "films/film.mp4"
    assert problem(video, "/elsewhere/film.mp4", job_dir=tmp_path).startswith(
        f"$.merge.output: '/elsewhere/film.mp4' is outside of the job directory '{tmp_path}'"
    )


def test_threads_are_those_of_decoder_and_encoder(video: Path, tmp_path: Path) -> None:
    command = plan_transcode(video, tmp_path / "film.mp4", threads=2).chunks[0].command
    assert [command[index + 1] for index, argument in enumerate(command) if argument == "-threads"] == ["2", "2"]
    command = plan_transcode(video, tmp_path / "film.mp4", threads=2, video_args="-threads 3").chunks[0].command
    assert [command[index + 1] for index, argument in enumerate(command) if argument == "-threads"] == ["2", "3"]


@given(st.integers(1, 20_000), st.floats(0.1, 2000), st.none() | st.integers(1, 300))
def test_every_frame_is_in_one_chunk_and_chunks_begin_at_key_frames(total: int, wanted: float, gop: int | None) -> None:
    cut = _cut(total, wanted, gop)
    assert sum(cut.sizes) == total
    assert all(size > 0 for size in cut.sizes)
    assert all(first % cut.gop == 0 for first in cut.starts)
    groups = [-(-size // cut.gop) for size in cut.sizes]
    assert max(groups) - min(groups) <= 1
    assert cut.gop <= 250 if gop is None else cut.gop == gop


@given(st.integers(1, 20_000), st.integers(1, 500))
def test_a_chunk_has_about_the_wanted_length_and_the_last_is_not_a_tiny_one(total: int, wanted: int) -> None:
    sizes = _cut(total, wanted, None).sizes
    assert max(sizes) <= max(2 * wanted, 2)
    assert len(sizes) == 1 or 2 * sizes[-1] >= sizes[0] - 1


def packet(dts: int, pts: int) -> Packet:
    return Packet(dts, pts, 1, is_key=True, is_shown=True)


def test_a_seek_never_ends_after_the_key_frame_that_is_needed() -> None:
    keys = [packet(-20, 0), packet(80, 100), packet(180, 200), packet(280, 300)]
    assert _seek(keys, 50, is_indexed=True) is None
    assert _seek(keys, 150, is_indexed=True) == 150
    assert _seek(keys, 190, is_indexed=True) == 179, "a search by decoding time would end at the next key frame"
    assert _seek(keys, 350, is_indexed=True) == 350
    assert _seek(keys, 190, is_indexed=False) is None
    assert _seek(keys, 250, is_indexed=False) == 79, "where there is no index, the search begins a key frame earlier"
    assert _seek([], 250, is_indexed=False) is None


def test_mistakes_are_told_in_one_sentence(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = tmp_path / "film.mp4"
    (tmp_path / "notes.mp4").write_text("not a video")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "sound.wav")
    assert problem(tmp_path / "no.mp4", film) == f"{tmp_path}/no.mp4 does not exist; give the path of a video"
    assert problem(tmp_path, film) == f"{tmp_path} is a directory; give the path of a video"
    assert problem(tmp_path / "notes.mp4", film).startswith(f"{tmp_path}/notes.mp4 is no video that ffmpeg can read (")
    assert problem(tmp_path / "sound.wav", film) == (
        f"{tmp_path}/sound.wav has no video stream; choose a file with a picture"
    )
    assert problem(video, video) == f"{video} is the input itself; give the film another name"
    assert problem(video, film, chunk_seconds=0) == "a chunk lasts more than 0 seconds, got 0"
    assert problem(video, film, chunk_seconds=float("nan")) == "a chunk lasts more than 0 seconds, got nan"
    assert problem(video, film, threads=0) == "a process has 1 thread or more, got 0"
    assert problem(video, film, video_args="-c:v libx299") == (
        "the video arguments do not work (Unknown encoder 'libx299'); correct them"
    )
    assert problem(video, tmp_path / "film.webm", video_args="-c:v libx264").startswith(
        "the video cannot be put into a .webm file (Only VP8 or VP9 or AV1 video"
    )
    assert problem(video, tmp_path / "film").startswith("the video cannot be put into a nameless file (")
    kept = "choose .mp4, .mkv or .mov, and filters that keep every frame"
    assert problem(video, tmp_path / "film.avi") == (
        f"a .avi file does not keep every frame of this video and its time; {kept}"
    )
    assert problem(video, film, video_args="-vf fps=12") == (
        f"a .mp4 file does not keep every frame of this video and its time; {kept}"
    )
    assert problem(video, tmp_path / "film.gif", video_args="-c:v gif") == (
        f"a .gif file cannot hold the sound of {video}; choose another container"
    )
    old = tmp_path / "ffmpeg"
    old.write_text("#!/bin/sh\necho \"Unrecognized option 'fps_mode'.\" >&2\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setenv("HELIOSTAT_FFMPEG", str(old))
    assert problem(video, film) == f"{old} is too old; take ffmpeg 5.1 or newer"
    monkeypatch.setenv("HELIOSTAT_FFMPEG", "/no/ffmpeg")
    assert problem(video, film) == (
        "/no/ffmpeg cannot be run (No such file or directory); set HELIOSTAT_FFMPEG to an ffmpeg"
    )


def test_a_picture_in_a_song_is_no_video(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1", tmp_path / "cover.png")
    song = ["-f", "lavfi", "-i", "sine=duration=1", "-i", f"{tmp_path}/cover.png", "-map", "0", "-map", "1"]
    ffmpeg(*song, "-c:a", "aac", "-c:v", "copy", "-disposition:v", "attached_pic", tmp_path / "song.m4a")
    assert problem(tmp_path / "song.m4a", tmp_path / "film.mp4") == (
        f"{tmp_path}/song.m4a has no video stream; choose a file with a picture"
    )
