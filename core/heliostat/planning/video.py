"""Plans a transcode: one video file, cut into chunks that any number of processes encode, and joined exactly.

A chunk is a run of frames, not of seconds. The timestamps of all frames are listed first; a chunk's command seeks to a
key frame before its first frame, keeps the frames from that one's timestamp to the next chunk's (filter `trim`), shifts
them to begin at 0, and passes their times on as they are. So no frame is lost or doubled and no time is rounded, for
constant and variable frame rates alike. Chunks are NUT files, which keep any time base and any codec. The stitcher
`ffmpeg` puts every chunk back to its place and takes sound, chapters and metadata from the original; other streams,
such as subtitles, are left out.

Key frames lie at fixed distances and chunks begin at them, so with constant-QP arguments the film's frames are those
of a single process with the same arguments and the same number of encoder threads.
"""

from __future__ import annotations

import bisect
import itertools
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from heliostat.errors import SpecError
from heliostat.model.spec import Chunk, JobSpec, Merge, Metadata
from heliostat.planning.encoder import LONGEST_GOP, Encoder, take_apart
from heliostat.planning.frames import balanced
from heliostat.planning.packets import NO_TIME, Packet, complaint, list_packets, run_ffmpeg
from heliostat.planning.probe import VideoInfo, beside_picture, probe
from heliostat.planning.soundtrack import join_options
from heliostat.planning.validate import validate

__all__ = ["VideoInfo", "plan_transcode", "probe"]

_INDEXED = ("mov", "matroska")
"""Containers with an index of key frames, so that seeking ends at one. In others it may end anywhere."""

_TRIAL = 8
"""Frames that the encoder is tried on: enough for frames to be reordered."""


def plan_transcode(
    source: str | Path,
    output: str | Path,
    *,
    chunk_seconds: float = 10.0,
    video_args: str | Sequence[str] | None = None,
    threads: int | None = None,
    job_dir: str | Path | None = None,
    name: str | None = None,
    decode: bool = False,
) -> JobSpec:
    """The job that encodes the picture of `source` anew into `output` (.mp4, .mkv, .mov, .webm, …).

    `video_args` are ffmpeg output options for the picture, by default `-c:v libx264 -crf 20 -preset medium`, and VP9
    for .webm. Filters that keep every frame may be among them. `threads` are those of one chunk's process; ffmpeg's
    own choice when None. `job_dir`, by default the folder of `output`, holds the film and, in `.heliostat-<film>/`,
    the chunks. With `decode` the whole input is decoded while planning, which finds damaged frames.

    Reads the whole input, tries the encoder on a few frames, and leaves nothing on the disk. Needs ffmpeg 5.1 or newer.
    Raises SpecError with one sentence.
    """
    film = Path(output).absolute()
    folder = film.parent if job_dir is None else Path(job_dir).absolute()
    if not (math.isfinite(chunk_seconds) and chunk_seconds > 0):
        raise SpecError(f"a chunk lasts more than 0 seconds, got {chunk_seconds}")
    if threads is not None and threads < 1:
        raise SpecError(f"a process has 1 thread or more, got {threads}")
    info = probe(source, decode=decode)
    if film.exists() and film.samefile(info.path):
        raise SpecError(f"{output} is the input itself; give the film another name")
    encoder = take_apart(video_args, film, info.pixel_format)
    cut = _cut(len(info.frames), float(len(info.frames) / info.duration) * chunk_seconds, encoder.gop)
    commands = _Commands(info, encoder, cut.gop, threads)
    commands.try_out(film)
    place = f".heliostat-{film.name}/{{:0{max(4, len(str(len(cut.sizes))))}d}}.nut"
    spec = JobSpec(
        name=name or film.stem,
        metadata=Metadata(
            total_frames=len(info.frames),
            fps=info.fps,
            width=info.width,
            height=info.height,
            duration=float(info.duration),
        ),
        chunks=tuple(
            Chunk(
                id=index,
                start_frame=first,
                frame_count=count,
                output_file=place.format(index),
                command=commands.command(first, count, place.format(index)),
            )
            for index, (first, count) in enumerate(zip(cut.starts, cut.sizes, strict=True))
        ),
        merge=Merge(stitcher="ffmpeg", output=_in_folder(film, folder), options=join_options(info, film, cut.starts)),
    )
    validate(spec, job_dir=folder)
    return spec


class _Cut(Struct, frozen=True):
    gop: int
    """Frames from one key frame to the next."""
    sizes: tuple[int, ...]
    """Frames in each chunk: whole groups of pictures, except that the last group may be shorter."""

    @property
    def starts(self) -> list[int]:
        """The first frame of each chunk."""
        return list(itertools.accumulate(self.sizes[:-1], initial=0))


def _cut(total: int, wanted: float, gop: int | None) -> _Cut:
    """About `wanted` frames in each chunk."""
    chunks = max(1, round(total / max(1.0, wanted)))
    if gop is None:
        per_chunk = -(-total // chunks)
        gop = -(-per_chunk // -(-per_chunk // LONGEST_GOP))
    groups = -(-total // gop)
    chunks = min(chunks, groups)
    last = total - (groups - 1) * gop
    if chunks == groups > 1 and 2 * last < gop:
        chunks -= 1  # rather a last chunk that is half as long again than a tiny one
    sizes = [groups_in * gop for groups_in in balanced(groups, chunks)][::-1]
    sizes[-1] -= gop - last
    return _Cut(gop, tuple(sizes))


class _Commands:
    """The commands of the chunks."""

    def __init__(self, info: VideoInfo, encoder: Encoder, gop: int, threads: int | None) -> None:
        self._info = info
        self._encoder = encoder
        self._threads = [] if threads is None else ["-threads", str(threads)]
        # Times as multiples of what they have in common: some encoders bear no fine time base.
        unit = math.gcd(*(frame - info.frames[0] for frame in info.frames)) or info.last_duration or 1
        base = info.time_base * unit
        self._encoding = [
            *("-fps_mode", "passthrough", "-enc_time_base", f"{base.numerator}:{base.denominator}"),
            *encoder.fixed_gop(gop),
            *([] if "-threads" in encoder.arguments else self._threads),
            *encoder.arguments,
        ]
        self._keys = sorted((packet for packet in info.packets if packet.is_key), key=lambda packet: packet.pts)

    def command(self, first: int, count: int, output: str) -> tuple[str, ...]:
        return (
            *("ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-nostats", "-progress", "pipe:1", "-y"),
            *self._input(first),
            *("-map", "0:V:0", "-vf", self._filters(first, count), *self._encoding),
            *("-map_metadata", "-1", "-map_chapters", "-1", "-avoid_negative_ts", "disabled", "-f", "nut", output),
            *([] if self._info.packets else beside_picture(self._info.audio)),
        )

    def _input(self, first: int) -> list[str]:
        source = [*self._threads, "-i", self._info.path]
        if not self._info.packets:
            return source
        seek = _seek(self._keys, self._info.frames[first], is_indexed=self._info.container.startswith(_INDEXED))
        if seek is None or (seconds := seek * self._info.time_base) <= 0:
            return ["-copyts", *source]
        microseconds = math.floor(seconds * 10**6)
        at = f"{microseconds // 10**6}.{microseconds % 10**6:06d}"
        return ["-copyts", "-seek_timestamp", "1", "-noaccurate_seek", "-ss", at, *source]

    def _filters(self, first: int, count: int) -> str:
        frames = self._info.frames
        begin = frames[first]
        end = f":end_pts={frames[first + count]}" if first + count < len(frames) else ""
        trim = f"trim=start_pts={begin}{end}"
        if self._encoder.filters is None:
            return f"{trim},setpts=PTS-({begin})"
        # Filters that depend on the time are to see that of the film.
        ahead = (begin - frames[0]) * self._info.time_base
        back = f"setpts=round(PTS-{ahead.numerator}/{ahead.denominator}/TB)"
        return f"{trim},setpts=PTS-({frames[0]}),{self._encoder.filters},{back}"

    def try_out(self, film: Path) -> None:
        """Encode a few frames and put them into a file like the film. Raises SpecError when that does not work."""
        count = min(_TRIAL, len(self._info.frames))
        with tempfile.TemporaryDirectory() as folder:
            part, whole = str(Path(folder, "part.nut")), str(Path(folder, f"film{film.suffix}"))
            encoded = run_ffmpeg(self.command(0, count, part)[1:])
            if encoded.returncode != 0:
                raise SpecError(f"the video arguments do not work ({complaint(encoded.stderr)}); correct them")
            joined = run_ffmpeg(["-v", "error", "-i", part, "-c", "copy", whole])
            if joined.returncode != 0:
                raise SpecError(
                    f"the video cannot be put into a {film.suffix or 'nameless'} file ({complaint(joined.stderr)});"
                    " change the video arguments or the name of the film"
                )
            packets = list_packets(whole).packets
            if len(packets) != count or any(packet.pts == NO_TIME for packet in packets):
                raise SpecError(
                    f"a {film.suffix} file does not keep every frame of this video and its time;"
                    " choose .mp4, .mkv or .mov, and filters that keep every frame"
                )


def _seek(keys: Sequence[Packet], frame: int, *, is_indexed: bool) -> int | None:
    """A time to seek to, from where on decoding gives this frame; None for the beginning of the file.

    Some containers are searched by decoding time and some by presentation time, and ffmpeg makes allowances. Where
    there is an index, a time before the next key frame by either ends at this frame's key frame or before. Where there
    is none, one before the previous key frame leaves room for it to be found."""
    index = bisect.bisect_right(keys, frame, key=lambda packet: packet.pts) - 1
    if not is_indexed:
        return keys[index - 1].dts - 1 if index >= 2 else None
    if index < 1:
        return None
    return min(frame, keys[index + 1].dts - 1) if index + 1 < len(keys) else frame


def _in_folder(film: Path, folder: Path) -> str:
    return str(film.relative_to(folder)) if film.is_relative_to(folder) else str(film)
