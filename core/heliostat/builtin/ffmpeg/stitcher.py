"""Joins parts with ffmpeg's concat demuxer, and puts the film into place in one step."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from heliostat.builtin.ffmpeg import FfmpegOptions
from heliostat.builtin.ffmpeg.program import run_ffmpeg
from heliostat.contracts.stitcher import Stitcher, StitchRequest
from heliostat.errors import StitchFailed
from heliostat.model.result import Output
from heliostat.worker.digest import sha256
from heliostat.worker.threads import in_thread

_SILENT_FAILURES = re.compile(r"Impossible to open|\[in#0[^\]]*\] Error during demuxing|parts\.txt: ")
"""What ffmpeg says when it cannot read a part; it then ends with exit status 0 and half a film. The sound's input may
have faults of its own."""

_TRUNCATED = "File ended prematurely"
"""What ffmpeg says of the same with a part in Matroska, but of a sound in it too."""

_FAST_START = (".mp4", ".m4v", ".mov")


class FfmpegStitcher(Stitcher):
    """Parts are films with the same streams and encoder settings, in any container that ffmpeg reads."""

    def __init__(self, options: FfmpegOptions | None = None) -> None:
        self._options = options or FfmpegOptions()

    async def stitch(self, request: StitchRequest) -> Output:
        parts, film = _places(request)
        starts = self._starts(request)
        await in_thread(lambda: _prepare(parts, film))
        unfinished = _beside(film, secrets.token_hex(4))
        try:
            with tempfile.TemporaryDirectory(prefix="heliostat-") as folder:
                listing = Path(folder, "parts.txt")
                await in_thread(lambda: listing.write_bytes(b"".join(_listing(parts, starts, Path(folder)))))
                arguments = [*self._inputs(request, listing), *self._output(unfinished)]
                done = await run_ffmpeg(arguments, cwd=request.job_dir)
            if done.exit_code != 0 or self._is_incomplete(done.stderr_tail):
                raise StitchFailed(f"ffmpeg could not join the parts: {done.complaint}", stderr_tail=done.stderr_tail)
            if self._options.part_starts is not None:
                await self._check(request, unfinished, starts)
            return await in_thread(lambda: _deliver(unfinished, film, request.output))
        finally:
            unfinished.unlink(missing_ok=True)

    def _is_incomplete(self, stderr_tail: str) -> bool:
        truncated = _TRUNCATED in stderr_tail and not self._options.audio_input
        return truncated or _SILENT_FAILURES.search(stderr_tail) is not None

    def _starts(self, request: StitchRequest) -> list[int]:
        """Microseconds at which each part begins, counted from the first one."""
        if not request.parts:
            raise StitchFailed("there are no parts to join; the job has no chunks")
        if (given := self._options.part_starts) is not None:
            if len(given) != len(request.parts) or any(
                later <= earlier for earlier, later in itertools.pairwise(given)
            ):
                raise StitchFailed(f"partStarts must be {len(request.parts)} rising numbers, one for each part")
            return list(given)
        # Each from exact numbers, so that roundings never add up: ffmpeg reads no finer durations than microseconds.
        frames = itertools.accumulate((chunk.frame_count for chunk in request.spec.chunks), initial=0)
        return [round(frame * 10**6 / request.spec.metadata.fps) for frame in frames][: len(request.parts)]

    def _inputs(self, request: StitchRequest, listing: Path) -> list[str]:
        delay = self._options.video_delay
        arguments = ["-itsoffset", f"{delay}us"] if delay else []
        arguments += ["-f", "concat", "-safe", "0", "-i", str(listing)]
        length = float(request.spec.metadata.total_frames / request.spec.metadata.fps)
        cut = ["-t", f"{length:.6f}"] if self._options.cut_audio else []
        group: list[str] = []
        audio = iter(self._options.audio_input)
        for argument in audio:
            group.append(argument)
            if argument == "-i":
                arguments += [*cut, *group, *itertools.islice(audio, 1)]
                group = []
        return [*arguments, *group]

    def _output(self, film: Path) -> list[str]:
        options = self._options
        if options.audio_input:
            audio = list(options.audio_args)
            if not {"-map", "-an"} & set(audio):
                audio = ["-map", "1:a", *audio]
            arguments = ["-map", "0:v", *audio]
        else:
            arguments = ["-map", "0"]
        fast_start = ["-movflags", "+faststart"] if film.suffix.lower() in _FAST_START else []
        return ["-c", "copy", *arguments, "-disposition:v:0", "default", *fast_start, *options.output_args, str(film)]

    async def _check(self, request: StitchRequest, film: Path, starts: Sequence[int]) -> None:
        """Every frame is in the film, and every part where it belongs. Raises StitchFailed."""
        listed: list[bytes] = []
        done = await run_ffmpeg(
            ["-copyts", "-i", str(film), "-map", "0:V:0", "-c", "copy", "-f", "framecrc", "-"],
            cwd=request.job_dir,
            on_stdout=listed.append,
        )
        lines = b"".join(listed).decode().splitlines()
        base = next((Fraction(line.split()[2]) for line in lines if line.startswith("#tb 0:")), None)
        if done.exit_code != 0 or base is None:
            raise StitchFailed(f"the joined film cannot be read: {done.complaint}", stderr_tail=done.stderr_tail)
        frames = sorted(int(line.split(",")[2]) for line in lines if not line.startswith("#"))
        counts = [chunk.frame_count for chunk in request.spec.chunks]
        if len(frames) != sum(counts):
            raise StitchFailed(
                f"the joined film has {len(frames)} frames and not {sum(counts)}; render the chunks again"
            )
        for index, (first, start) in enumerate(zip(itertools.accumulate(counts, initial=0), starts, strict=False)):
            there = (frames[first] - frames[0]) * base * 10**6
            if abs(there - start) > base * 10**6 + 1:
                raise StitchFailed(
                    f"part {index} begins at {float(there) / 10**6:.6f} s of the joined film and not at"
                    f" {start / 10**6:.6f} s; choose another container for the film, or an encoder without B-frames"
                )


def _places(request: StitchRequest) -> tuple[list[Path], Path]:
    """The parts and the film, as absolute paths: ffmpeg would take some names for addresses or options."""
    job_dir = os.path.abspath(request.job_dir)
    return [Path(job_dir, part) for part in request.parts], Path(job_dir, request.output)


def _prepare(parts: Sequence[Path], film: Path) -> None:
    """Raises StitchFailed when a part is missing or the film has nowhere to go."""
    for part in parts:
        if not part.is_file() or not part.stat().st_size:
            raise StitchFailed(f"the part {part} is missing or empty; render its chunk again")
    try:
        film.parent.mkdir(parents=True, exist_ok=True)
        for leftover in film.parent.glob(_beside(film, "*").name.replace("[", "[[]")):
            leftover.unlink(missing_ok=True)  # of a join that was killed
    except OSError as error:
        raise StitchFailed(
            f"the film cannot be written to {film.parent} ({error.strerror}); choose another place"
        ) from error


def _beside(film: Path, token: str) -> Path:
    """The name of an unfinished film: on the same disk, and with the suffix by which ffmpeg chooses the container."""
    stem = os.fsdecode(os.fsencode(film.stem)[:200])
    return film.with_name(f".{stem}.joining-{token}{film.suffix}")


def _listing(parts: Sequence[Path], starts: Sequence[int], folder: Path) -> Iterator[bytes]:
    """The concat demuxer's script (ffmpeg-formats, "concat"). A line is a line, whatever the quotes, so a file whose
    name has line breaks is given another name by a link in `folder`."""
    yield b"ffconcat version 1.0\n"
    for index, part in enumerate(parts):
        if re.search(r"[\n\r]", str(part)):
            link = folder / f"{index}{part.suffix}"
            link.symlink_to(part)
            part = link
        quoted = os.fsencode(part).replace(b"'", rb"'\''")
        yield b"file '%b'\n" % quoted
        if index + 1 < len(parts):
            yield b"duration %dus\n" % (starts[index + 1] - starts[index])


def _deliver(unfinished: Path, film: Path, output: str) -> Output:
    """Make sure that the film is on the disk, then let it appear. Raises StitchFailed."""
    try:
        with unfinished.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = sha256(file)
            os.fsync(file.fileno())
        os.replace(unfinished, film)
        folder = os.open(film.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StitchFailed(f"the film cannot be put into place at {film}: {error.strerror or error}") from error
    return Output(path=output, size=size, sha256=digest)
