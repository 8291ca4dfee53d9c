"""The stitcher `ffmpeg`."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from heliostat import Chunk, JobSpec, Metadata, open_stitcher
from heliostat.builtin.ffmpeg import FfmpegOptions
from heliostat.builtin.ffmpeg.stitcher import FfmpegStitcher
from heliostat.contracts.stitcher import StitchRequest
from heliostat.errors import SpecError, StitchFailed
from heliostat.testing.stitcher import StitcherContract, StitcherUnderTest
from heliostat.worker.ffmpeg import find_ffmpeg

NTSC = Fraction(30000, 1001)

Render = Callable[..., StitchRequest]


def ffmpeg(*arguments: str | Path) -> str:
    """Run it; returns what it prints."""
    program = find_ffmpeg()
    assert program is not None
    command = [program, "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def times(film: Path, stream: str = "v:0") -> list[Fraction]:
    """When packets of a stream are shown, in seconds, rising."""
    lines = ffmpeg("-i", film, "-map", f"0:{stream}", "-c", "copy", "-f", "framecrc", "-").splitlines()
    base = next(Fraction(line.split()[2]) for line in lines if line.startswith("#tb 0:"))
    return sorted(int(line.split(",")[2]) * base for line in lines if not line.startswith("#"))


def pictures(film: Path) -> list[str]:
    """A digest of every decoded frame."""
    lines = ffmpeg("-i", film, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-").splitlines()
    return [line.rpartition(",")[2].strip() for line in lines if not line.startswith("#")]


def sound(*arguments: str | Path) -> bytes:
    """The decoded samples of one channel, two bytes each."""
    program = find_ffmpeg()
    assert program is not None
    command = [program, "-nostdin", "-v", "error", *map(str, arguments), "-map", "0:a:0", "-f", "s16le", "-"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


@functools.cache
def numbered_film(start: int, count: int, suffix: str) -> bytes:
    """A film of frames that all differ, encoded without loss."""
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder, f"film{suffix}")
        picture = (
            f"color=size=64x48:rate=24,trim=end_frame={count},geq=lum='mod(41*(N+{start})+2*X+Y,256)':cb=128:cr=128"
        )
        ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", film)
        return film.read_bytes()


@functools.cache
def decoded(film: bytes) -> list[str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(film)
        file.flush()
        return pictures(Path(file.name))


@pytest.mark.parametrize("output", ["film.mp4", "film.mkv"])
class TestFfmpegStitcher(StitcherContract):
    @pytest.fixture
    def under_test(self, output: str) -> StitcherUnderTest:
        return StitcherUnderTest(
            make=lambda: open_stitcher("ffmpeg"),
            make_part=lambda path, start, count: path.write_bytes(numbered_film(start, count, path.suffix)),
            frames_of=lambda path: decoded(path.read_bytes()),
            output=output,
        )


@pytest.fixture
def render(tmp_path: Path) -> Render:
    """Renders parts of these numbers of frames, and returns the request to join them."""

    def render(
        counts: list[int],
        *,
        rate: Fraction = Fraction(24),
        output: str = "film.mp4",
        suffix: str = ".mp4",
        names: str = "part {}",
        arguments: tuple[str, ...] = (),
    ) -> StitchRequest:
        chunks, first = [], 0
        for index, count in enumerate(counts):
            name = names.format(index) + suffix
            picture = f"testsrc2=size=64x48:rate={rate},trim=start_frame={first}:end_frame={first + count}"
            ffmpeg("-f", "lavfi", "-i", f"{picture},setpts=PTS-STARTPTS", *arguments, tmp_path / f"{index}{suffix}")
            (tmp_path / f"{index}{suffix}").rename(tmp_path / name)
            chunks.append(Chunk(id=index, start_frame=first, frame_count=count, output_file=name, command="draw"))
            first += count
        spec = JobSpec(metadata=Metadata(total_frames=first, fps=rate), chunks=tuple(chunks))
        parts = tuple(chunk.output_file for chunk in chunks)
        return StitchRequest(spec=spec, job_dir=str(tmp_path), parts=parts, output=output)

    return render


async def join(request: StitchRequest, **options: object) -> Path:
    """Join, and see to it that nothing but the film is new."""
    folder = Path(request.job_dir)
    before = set(os.listdir(folder))
    output = await open_stitcher("ffmpeg", **options).stitch(request)
    film = folder / request.output
    assert output.path == request.output
    assert output.size == film.stat().st_size
    assert output.sha256 == hashlib.sha256(film.read_bytes()).hexdigest()
    assert set(os.listdir(folder)) == before | {Path(request.output).parts[0]}
    return film


@pytest.mark.parametrize("output", ["film.mp4", "film.mkv", "film.mov", "a new folder/film.mp4"])
async def test_the_picture_is_joined_as_it_is(render: Render, output: str, tmp_path: Path) -> None:
    """With B-frames, and parts of different lengths."""
    request = render([10, 7, 1, 12], output=output, arguments=("-c:v", "libx264", "-bf", "2"))
    film = await join(request)
    expected = [frame for part in request.parts for frame in pictures(tmp_path / part)]
    assert pictures(film) == expected
    assert len(expected) == 30


@pytest.mark.parametrize(
    ("rate", "suffix"),
    [
        (Fraction(24), ".mp4"),
        (Fraction(25), ".ts"),
        (NTSC, ".mp4"),
        (NTSC, ".ts"),
        (NTSC, ".nut"),
        (Fraction(24000, 1001), ".mp4"),
        (Fraction(60000, 1001), ".mp4"),
    ],
)
async def test_frames_keep_their_distance_over_the_joints(render: Render, rate: Fraction, suffix: str) -> None:
    film = await join(render([7, 9, 8, 7], rate=rate, suffix=suffix, arguments=("-c:v", "libx264", "-bf", "2")))
    shown = times(film)
    tick = Fraction(1, 90000) if suffix == ".ts" else 0
    assert len(shown) == 31
    assert all(abs(later - earlier - 1 / rate) <= tick for earlier, later in pairwise(shown))


async def test_a_thousand_parts(render: Render, tmp_path: Path) -> None:
    request = render([2, 2], arguments=("-c:v", "libx264", "-preset", "ultrafast"))
    chunks = []
    for index in range(1000):
        os.link(tmp_path / request.parts[index % 2], tmp_path / f"{index}.mp4")
        chunks.append(Chunk(id=index, start_frame=index * 2, frame_count=2, output_file=f"{index}.mp4", command="draw"))
    spec = JobSpec(metadata=Metadata(total_frames=2000, fps=Fraction(24)), chunks=tuple(chunks))
    request = StitchRequest(
        spec=spec, job_dir=str(tmp_path), parts=tuple(chunk.output_file for chunk in chunks), output="film.mp4"
    )
    shown = times(await join(request))
    assert [time * 24 for time in shown] == list(range(2000))


@pytest.mark.parametrize(
    "names", ["it's {}", "ü 雪 {}", "a\nb\r{}", "'{}'", "\\'{}", "-i {}", "%d {}", "#{}", "file:{}"]
)
async def test_parts_may_have_any_name(render: Render, names: str) -> None:
    film = await join(render([2, 3], names=names))
    assert len(pictures(film)) == 5


async def test_the_film_may_have_any_name(render: Render) -> None:
    for name in ("it's a 'film'.mp4", "-y.mp4", "%03d.mp4", "[a] *?.mp4", "雪\n.mp4", "x" * 250 + ".mp4"):
        assert len(pictures(await join(render([2, 3], output=name)))) == 5


async def test_the_parts_own_sound_is_copied(render: Render) -> None:
    beep = ("-f", "lavfi", "-i", "sine=440:duration=1", "-shortest", "-c:a", "flac", "-c:v", "libx264")
    film = await join(render([24, 24], suffix=".mkv", output="film.mkv", arguments=beep))
    assert len(pictures(film)) == 48
    assert len(sound("-i", film)) == 2 * 2 * 44100


async def test_the_sound_is_encoded_once_and_as_long_as_the_picture(render: Render, tmp_path: Path) -> None:
    """An endless sound ends with the picture; what is heard is what one encode of it gives."""
    siren = "aevalsrc=sin(2*PI*t*(200+50*t)):s=48000"
    request = render([24, 25, 23])
    film = await join(request, audioInput=["-f", "lavfi", "-i", siren])
    ffmpeg("-f", "lavfi", "-i", f"{siren}:d=3", "-c:a", "aac", "-b:a", "192k", tmp_path / "whole.mp4")
    assert sound("-i", film) == sound("-i", tmp_path / "whole.mp4")
    assert pictures(film) == [frame for part in request.parts for frame in pictures(tmp_path / part)]


async def test_by_default_the_sound_becomes_aac(render: Render, tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=440:duration=5", tmp_path / "a sound.wav")
    film = await join(render([24, 24]), audioInput=["-i", "a sound.wav"])
    assert "#codec_id 0: aac" in ffmpeg("-i", film, "-map", "0:a:0", "-c", "copy", "-f", "framecrc", "-")
    assert 2 <= len(times(film, "a:0")) * 1024 / 44100 <= 2.1
    assert film.read_bytes().index(b"moov") < film.read_bytes().index(b"mdat"), "players can start before all is there"


async def test_a_short_sound_leaves_the_picture_whole(render: Render, tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=440:duration=0.5", tmp_path / "sound.wav")
    film = await join(render([24, 24]), audioInput=["-i", "sound.wav"])
    assert len(pictures(film)) == 48


async def test_the_sound_may_be_mixed_from_several_inputs(render: Render) -> None:
    film = await join(
        render([24]),
        output_args=["-metadata", "title=Two tones"],
        audioInput=["-f", "lavfi", "-i", "sine=440", "-f", "lavfi", "-i", "sine=880"],
        audioArgs=["-filter_complex", "[1:a][2:a]amix[both]", "-map", "[both]", "-c:a", "aac"],
    )
    assert 1 <= len(times(film, "a:0")) * 1024 / 44100 <= 1.1
    assert b"Two tones" in film.read_bytes()


async def test_given_times_are_kept_and_checked(render: Render) -> None:
    request = render([3, 4], suffix=".nut")
    film = await join(request, partStarts=[0, 2_000_000], videoDelay=500_000)
    assert [time - times(film)[0] for time in times(film)][3] == 2
    with pytest.raises(StitchFailed, match="partStarts must be 2 rising numbers, one for each part"):
        await join(request, partStarts=[0, 0])


async def test_a_film_with_too_few_frames_does_not_appear(render: Render, tmp_path: Path) -> None:
    request = render([3, 4])
    longer = msgspec.structs.replace(request.spec.chunks[1], frame_count=5)
    spec = msgspec.structs.replace(request.spec, chunks=(request.spec.chunks[0], longer))
    with pytest.raises(StitchFailed, match="the joined film has 7 frames and not 8; render the chunks again"):
        await open_stitcher("ffmpeg", partStarts=[0, 125_000]).stitch(msgspec.structs.replace(request, spec=spec))
    assert sorted(os.listdir(tmp_path)) == ["part 0.mp4", "part 1.mp4"]


async def test_an_earlier_film_is_replaced_only_by_a_whole_one(render: Render, tmp_path: Path) -> None:
    request = render([3, 4])
    (tmp_path / "film.mp4").write_text("earlier")
    (tmp_path / request.parts[1]).write_bytes(b"no film")
    with pytest.raises(StitchFailed, match=r"^ffmpeg could not join the parts: ") as raised:
        await open_stitcher("ffmpeg").stitch(request)
    assert "Impossible to open" in raised.value.stderr_tail
    assert (tmp_path / "film.mp4").read_text() == "earlier"
    assert sorted(os.listdir(tmp_path)) == ["film.mp4", "part 0.mp4", "part 1.mp4"]


@pytest.mark.parametrize("content", [None, b""])
async def test_a_part_that_is_missing_or_empty_is_named(render: Render, tmp_path: Path, content: bytes | None) -> None:
    request = render([3, 4])
    part = tmp_path / request.parts[1]
    part.unlink() if content is None else part.write_bytes(content)
    with pytest.raises(StitchFailed) as raised:
        await open_stitcher("ffmpeg").stitch(request)
    assert str(raised.value) == f"the part {part} is missing or empty; render its chunk again"


async def test_no_parts_make_no_film(tmp_path: Path) -> None:
    spec = JobSpec(metadata=Metadata(total_frames=0, fps=Fraction(24)), chunks=())
    with pytest.raises(StitchFailed, match="there are no parts to join"):
        await FfmpegStitcher().stitch(StitchRequest(spec=spec, job_dir=str(tmp_path), parts=(), output="film.mp4"))


async def test_a_container_that_there_is_not_is_told(render: Render, tmp_path: Path) -> None:
    with pytest.raises(StitchFailed, match=r"ffmpeg could not join the parts: .*Unable to choose an output format"):
        await open_stitcher("ffmpeg").stitch(render([3], output="film.unknown"))
    assert os.listdir(tmp_path) == ["part 0.mp4"]


async def test_a_film_has_to_have_somewhere_to_go(render: Render, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StitchFailed, match=r"the film cannot be written to .*/taken \(.*\); choose another place"):
        await open_stitcher("ffmpeg").stitch(render([3], output="taken/film.mp4"))


async def test_a_missing_ffmpeg_is_told(render: Render, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    request = render([3])
    monkeypatch.setenv("HELIOSTAT_FFMPEG", str(tmp_path / "no ffmpeg"))
    with pytest.raises(StitchFailed, match=r"no ffmpeg cannot be run .*; set HELIOSTAT_FFMPEG to an ffmpeg"):
        await open_stitcher("ffmpeg").stitch(request)


def processes_that_mention(text: str) -> list[str]:
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{entry}/cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="there is no /proc to find processes in")
async def test_a_join_that_is_cancelled_leaves_nothing_behind(render: Render, tmp_path: Path) -> None:
    request = render([3, 4])
    (tmp_path / ".film.joining-0123abcd.mp4").write_text("left by a join that was killed")
    # The sound never ends, and comes no faster than it is heard.
    options = FfmpegOptions(audio_input=("-re", "-f", "lavfi", "-i", "sine=440"), cut_audio=False)
    task = asyncio.create_task(FfmpegStitcher(options).stitch(request))
    async with asyncio.timeout(30):
        while not processes_that_mention(f"{tmp_path}/.film.joining"):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not processes_that_mention(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["part 0.mp4", "part 1.mp4"]


def test_mistaken_options_are_told() -> None:
    with pytest.raises(SpecError, match="has no option 'audioinput'; it has: audioArgs, audioInput, cutAudio"):
        open_stitcher("ffmpeg", audioinput=[])
    with pytest.raises(SpecError, match="Expected `array`, got `str` - option `audioInput"):
        open_stitcher("ffmpeg", audioInput="sound.wav")
