"""A transcode in chunks gives the film that one process would have made, with every frame at its time."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from heliostat import JobSpec, open_stitcher
from heliostat.contracts.stitcher import StitchRequest
from heliostat.planning.video import VideoInfo, plan_transcode, probe
from heliostat.worker.ffmpeg import find_ffmpeg

CONSTANT_QP = "-c:v libx264 -preset veryfast -qp 24"


def ffmpeg(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run it; returns what it prints."""
    program = find_ffmpeg()
    assert program is not None
    command = [program, "-nostdin", "-hide_banner", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def describe(film: Path) -> str:
    program = find_ffmpeg()
    assert program is not None
    return subprocess.run([program, "-hide_banner", "-i", film], stderr=subprocess.PIPE, text=True).stderr


def times(film: Path, stream: str = "V:0") -> list[Fraction]:
    """When packets of a stream are shown, in seconds, rising; counted from the earliest of all streams."""
    everything = ffmpeg("-i", film, "-map", f"0:{stream}", "-map", "0", "-c", "copy", "-f", "framecrc", "-")
    lines = everything.splitlines()
    base = next(Fraction(line.split()[2]) for line in lines if line.startswith("#tb 0:"))
    # Flags 4 and 5 mark what the container says is not to be shown.
    shown = (line for line in lines if line.startswith("0,") and ", F=0x4" not in line and ", F=0x5" not in line)
    return sorted(int(line.split(",")[2]) * base for line in shown)


def pictures(film: Path) -> list[str]:
    """A digest of every decoded frame."""
    lines = ffmpeg("-i", film, "-map", "0:V:0", "-fps_mode", "passthrough", "-f", "framemd5", "-").splitlines()
    return [line.rpartition(",")[2].strip() for line in lines if not line.startswith("#")]


def render(spec: JobSpec, job_dir: Path) -> Path:
    """Run the commands of all chunks, backwards, and join their outputs."""
    assert spec.merge is not None
    for chunk in reversed(spec.chunks):
        (job_dir / chunk.output_file).parent.mkdir(parents=True, exist_ok=True)
        assert chunk.command[0] == "ffmpeg"
        reported = ffmpeg(*chunk.command[1:], cwd=job_dir)
        assert re.findall(r"frame=\s*(\d+)", reported)[-1] == str(chunk.frame_count)
    stitcher = open_stitcher(spec.merge.stitcher, **spec.merge.options)
    parts = tuple(chunk.output_file for chunk in spec.chunks)
    request = StitchRequest(spec=spec, job_dir=str(job_dir), parts=parts, output=spec.merge.output)
    asyncio.run(stitcher.stitch(request))
    return job_dir / spec.merge.output


def one_process(spec: JobSpec, source: Path, output: Path, filters: Sequence[str] = ()) -> Path:
    """Encode the same source in one process with the encoder arguments of the chunks."""
    command = spec.chunks[0].command
    encoding = command[command.index("-fps_mode") : command.index("-map_metadata")]
    ffmpeg("-i", source, "-map", "0:V:0", *filters, *encoding, "-f", "nut", output)
    return output


def check_times(source: VideoInfo, film: Path, tick: Fraction | None = None) -> list[Fraction]:
    """Every frame is as far from the first one as in the source, to the tick of containers that count coarsely."""
    shown = times(film)
    expected = [(frame - source.frames[0]) * source.time_base for frame in source.frames]
    assert len(shown) == len(expected)
    if tick is None:
        assert [time - shown[0] for time in shown] == expected
    else:
        assert all(abs(time - shown[0] - right) <= tick for time, right in zip(shown, expected, strict=True))
    return shown


def picture(rate: str = "24", seconds: float = 2, size: str = "160x90") -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]


TONE = ["-f", "lavfi", "-i", "sine=frequency=330:duration=2.2"]
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "20"]


@pytest.mark.parametrize(
    ("rate", "suffix"),
    [("24", "mp4"), ("25", "mov"), ("30000/1001", "mp4"), ("24000/1001", "mkv"), ("60000/1001", "mp4"), ("5", "mkv")],
)
def test_constant_frame_rates_with_sound(tmp_path: Path, rate: str, suffix: str) -> None:
    """With constant QP the frames are those of one process."""
    source = tmp_path / f"source.{suffix}"
    ffmpeg(*picture(rate), *TONE, *X264, "-c:a", "aac", source)
    spec = plan_transcode(source, tmp_path / f"film.{suffix}", chunk_seconds=0.5, video_args=CONSTANT_QP)
    film = render(spec, tmp_path)
    assert len(spec.chunks) > 2
    assert pictures(film) == pictures(one_process(spec, source, tmp_path / "whole.nut"))
    check_times(probe(source), film)
    assert times(film, "a:0") == times(source, "a:0")
    if suffix != "mkv":
        assert spec.metadata.fps == Fraction(rate)


def test_a_film_without_sound(tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    ffmpeg(*picture("30000/1001"), *X264, source)
    spec = plan_transcode(source, tmp_path / "film.mp4", chunk_seconds=0.5, video_args=CONSTANT_QP)
    film = render(spec, tmp_path)
    assert pictures(film) == pictures(one_process(spec, source, tmp_path / "whole.nut"))
    assert check_times(probe(source), film)[0] == 0
    assert "Audio" not in describe(film)


VARIABLE = "settb=1/90000,setpts='if(eq(N,0),0,PREV_OUTPTS+100+floor(7000*random(1))+if(gt(random(2),0.93),200000,0))'"


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("libx264 -bf 3 -qp 24", "mp4"),
        ("libx264 -bf 3 -qp 24", "mkv"),
        ("libx265 -preset ultrafast -x265-params log-level=error:qp=24", "mp4"),
    ],
)
def test_a_variable_frame_rate(tmp_path: Path, codec: str, suffix: str) -> None:
    """Frames between a millisecond and more than two seconds apart, with B-frames across the pauses."""
    source = tmp_path / "source.mp4"
    passed = ["-fps_mode", "passthrough", "-enc_time_base", "1:90000"]
    ffmpeg(*picture("30", 3), "-vf", VARIABLE, *passed, *X264, source)
    spec = plan_transcode(source, tmp_path / f"film.{suffix}", chunk_seconds=2, video_args=f"-c:v {codec}")
    film = render(spec, tmp_path)
    assert len(spec.chunks) > 3
    assert pictures(film) == pictures(one_process(spec, source, tmp_path / "whole.nut"))
    check_times(probe(source), film, None if suffix == "mp4" else Fraction(1, 1000))


def test_quality_based_encodes_keep_every_frame_and_time(tmp_path: Path) -> None:
    """The default arguments. Frames look as they do from one process, if not the same to the bit."""
    source = tmp_path / "source.mp4"
    ffmpeg(*picture("24", 4), *X264, source)
    spec = plan_transcode(source, tmp_path / "film.mp4", chunk_seconds=1)
    film = render(spec, tmp_path)
    check_times(probe(source), film)
    whole = one_process(spec, source, tmp_path / "whole.nut")
    ffmpeg("-i", film, "-i", whole, "-lavfi", "[0:v][1:v]psnr=stats_file=psnr.log", "-f", "null", "-", cwd=tmp_path)
    quality = [float(value) for value in re.findall(r"psnr_avg:(\S+)", (tmp_path / "psnr.log").read_text())]
    assert len(quality) == 96
    assert min(quality) > 35


def source_of(kind: str, folder: Path) -> Path:
    """Inputs that are difficult in one way each."""
    plain, sound = folder / "plain.mp4", ["-c:a", "aac"]
    if kind == "begins late":
        ffmpeg(*picture(), *TONE, *X264, *sound, plain)
        ffmpeg(
            "-i", plain, "-itsoffset", "1.5", "-i", plain, "-map", "0:a", "-map", "1:v", "-c", "copy", folder / "s.mp4"
        )
        return folder / "s.mp4"
    if kind == "sound begins late":
        ffmpeg(*picture(), *TONE, *X264, *sound, plain)
        late = ["-i", str(plain), "-itsoffset", "0.4", "-i", str(plain), "-map", "0:v", "-map", "1:a", "-c", "copy"]
        ffmpeg(*late, "-muxdelay", "3", folder / "s.ts")
        return folder / "s.ts"
    if kind == "transport stream":
        ffmpeg(*picture(), *TONE, *X264, *sound, "-muxdelay", "5", folder / "s.ts")
        return folder / "s.ts"
    if kind == "two transport streams":
        ffmpeg(*picture("25", 2), *TONE, "-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2", "-t", "2", folder / "one.ts")
        one = (folder / "one.ts").read_bytes()
        (folder / "s.ts").write_bytes(one + one)
        return folder / "s.ts"
    if kind == "recording from the middle":
        ffmpeg(*picture("25"), *TONE, "-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2", folder / "one.ts")
        whole = (folder / "one.ts").read_bytes()
        (folder / "s.ts").write_bytes(whole[len(whole) // 188 // 4 * 188 :])
        return folder / "s.ts"
    if kind == "edit list":
        ffmpeg(*picture("24", 3), *TONE, *X264, *sound, plain)
        ffmpeg("-ss", "1.3", "-i", plain, "-c", "copy", folder / "s.mp4")
        return folder / "s.mp4"
    if kind == "open groups of pictures":
        ffmpeg(*picture("24"), *X264, "-x264-params", "open-gop=1:keyint=13:scenecut=0", folder / "s.mkv")
        return folder / "s.mkv"
    if kind == "long reordering":
        ffmpeg(
            *picture("5", 12), "-c:v", "libx264", "-bf", "8", "-x264-params", "b-adapt=0:keyint=12", folder / "s.mp4"
        )
        return folder / "s.mp4"
    if kind == "no timestamps":
        ffmpeg(*picture(), *X264, folder / "s.h264")
        return folder / "s.h264"
    if kind == "old container":
        ffmpeg(*picture("25"), "-c:v", "mpeg4", "-bf", "2", folder / "s.avi")
        return folder / "s.avi"
    if kind == "damaged":
        ffmpeg(*picture("24", 4), *X264, plain)
        data = bytearray(plain.read_bytes())
        middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 8
        data[middle : middle + 300] = bytes(300)
        (folder / "s.mp4").write_bytes(data)
        return folder / "s.mp4"
    if kind == "cut off":
        ffmpeg(*picture("24", 4), *X264, "-movflags", "+faststart", plain)
        (folder / "s.mp4").write_bytes(plain.read_bytes()[: -plain.stat().st_size // 3])
        return folder / "s.mp4"
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "begins late",
        "sound begins late",
        "transport stream",
        "two transport streams",
        "recording from the middle",
        "edit list",
        "open groups of pictures",
        "long reordering",
        "no timestamps",
        "old container",
    ],
)
def test_difficult_inputs(tmp_path: Path, kind: str) -> None:
    """Frames, their times, and their distance from the sound are those of the input."""
    source = source_of(kind, tmp_path)
    spec = plan_transcode(source, tmp_path / "film.mp4", chunk_seconds=0.6, video_args=CONSTANT_QP)
    film = render(spec, tmp_path)
    info = probe(source)
    assert len(spec.chunks) > 1
    assert pictures(film) == pictures(one_process(spec, source, tmp_path / "whole.nut"))
    shown = check_times(info, film)
    if info.audio:
        heard, should_be_heard = times(film, "a:0"), times(source, "a:0")
        assert len(heard) == len(should_be_heard)
        if kind != "recording from the middle":  # its first packets hold no frame
            ahead = times(source)[0] - should_be_heard[0]
            assert abs(shown[0] - heard[0] - ahead) < Fraction(1, 10_000)


@pytest.mark.parametrize("kind", ["damaged", "cut off"])
def test_a_damaged_input_loses_only_what_cannot_be_decoded(tmp_path: Path, kind: str) -> None:
    source, decode = source_of(kind, tmp_path), kind == "damaged"
    spec = plan_transcode(source, tmp_path / "film.mp4", chunk_seconds=1, video_args=CONSTANT_QP, decode=decode)
    film = render(spec, tmp_path)
    assert 40 < spec.metadata.total_frames <= 96
    check_times(probe(source, decode=decode), film)


@pytest.mark.parametrize(
    ("suffix", "video_args"),
    [
        (".mov", "-c:v prores_ks"),
        (".mp4", "-c:v mpeg4 -q:v 4 -bf 2"),
        (".mkv", "-c:v libx265 -preset ultrafast -x265-params log-level=error:qp=24"),
        (".webm", "-c:v libvpx-vp9 -b:v 0 -crf 40 -cpu-used 8 -deadline realtime"),
        (".mp4", "-c:v libsvtav1 -preset 12 -crf 45 -svtav1-params tune=0"),
    ],
)
def test_other_encoders_and_containers(tmp_path: Path, suffix: str, video_args: str) -> None:
    source = tmp_path / "source.mp4"
    ffmpeg(*picture("30000/1001", 1), *TONE, *X264, "-c:a", "aac", source)
    program = find_ffmpeg()
    assert program is not None
    if f" {video_args.split()[1]} " not in ffmpeg("-encoders"):
        pytest.skip(f"this ffmpeg has no {video_args.split()[1]}")
    film = render(
        plan_transcode(source, tmp_path / f"film{suffix}", chunk_seconds=0.5, video_args=video_args), tmp_path
    )
    check_times(probe(source), film, Fraction(1, 1000) if suffix in (".mkv", ".webm") else None)
    assert ("opus" if suffix == ".webm" else "aac") in describe(film)


@pytest.mark.parametrize(("rate", "seconds", "frames"), [("25", 0.04, 1), ("25", 0.08, 2), ("30000/1001", 0.9, 27)])
def test_short_clips_are_one_chunk(tmp_path: Path, rate: str, seconds: float, frames: int) -> None:
    source = tmp_path / "source.mp4"
    ffmpeg(*picture(rate, seconds, "161x91"), "-pix_fmt", "yuv444p", *X264, source)
    spec = plan_transcode(source, tmp_path / "film.mkv", video_args=f"{CONSTANT_QP} -pix_fmt yuv444p")
    film = render(spec, tmp_path)
    assert [chunk.frame_count for chunk in spec.chunks] == [frames]
    assert pictures(film) == pictures(one_process(spec, source, tmp_path / "whole.nut"))


def test_filters_of_the_user_see_the_films_time(tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    ffmpeg(*picture("30000/1001"), *X264, source)
    filters = "scale=80:46,fade=in:start_time=0.5:duration=2"
    spec = plan_transcode(source, tmp_path / "film.mp4", chunk_seconds=0.7, video_args=f"{CONSTANT_QP} -vf {filters}")
    film = render(spec, tmp_path)
    assert pictures(film) == pictures(one_process(spec, source, tmp_path / "whole.nut", ["-vf", filters]))
    check_times(probe(source), film)


def test_rotation_colours_chapters_titles_and_all_sound_are_carried_over(tmp_path: Path) -> None:
    source, plain = tmp_path / "source.mp4", tmp_path / "plain.mp4"
    colours = ["-colorspace", "bt709", "-vf", "format=yuv420p,setsar=4/3"]
    tracks = ["-map", "0", "-map", "1", "-map", "1", "-c:a:0", "ac3", "-c:a:1", "aac"]
    (tmp_path / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=A field of mirrors\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=Dawn\n"
    )
    ffmpeg(*picture(), *TONE, "-i", tmp_path / "meta.txt", *colours, *X264, *tracks, "-map_metadata", "2", plain)
    language = ["-metadata:s:a:1", "language=deu"]
    ffmpeg("-display_rotation", "90", "-i", plain, "-c", "copy", "-map", "0", "-map", "-0:d", *language, source)
    spec = plan_transcode(source, tmp_path / "film.mp4", chunk_seconds=1, video_args=CONSTANT_QP)
    assert (spec.metadata.width, spec.metadata.height) == (90, 160)
    about = describe(render(spec, tmp_path))
    assert re.search(r"Video: h264 .*bt709.* 90x160 \[SAR 3:4 ", about)
    assert "displaymatrix" not in about
    assert re.search(r"Audio: ac3", about)
    assert re.search(r"\(deu\): Audio: aac", about)
    assert "A field of mirrors" in about
    assert "Dawn" in about


def test_sound_that_the_container_cannot_hold_is_encoded_once(tmp_path: Path) -> None:
    source = tmp_path / "source.mkv"
    ffmpeg(*picture(), "-f", "lavfi", "-i", "sine=330:duration=2", *X264, "-c:a", "wmav2", source)
    film = render(plan_transcode(source, tmp_path / "film.webm", chunk_seconds=1, video_args="-c:v libvpx"), tmp_path)
    assert "Audio: opus" in describe(film)
    sound = times(film, "a:0")
    assert math.isclose(float(sound[-1] - sound[0]), 2, abs_tol=0.1)
