"""What is in a video file, as far as planning needs it. Asks the ffmpeg binary alone, since ffprobe is often missing.

Two sources: the description that `ffmpeg -i` logs, and the list of packets that its `framecrc` muxer prints
(libavformat/framecrcenc.c: `stream, dts, pts, duration, size, checksum`, then `F=` with the flags unless these are
just "key frame").
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from msgspec import Struct

from heliostat.errors import SpecError
from heliostat.model.spec import to_fraction
from heliostat.worker.ffmpeg import find_ffmpeg

_KEY, _DISCARD = 1, 4
"""AV_PKT_FLAG_KEY and AV_PKT_FLAG_DISCARD of libavcodec/packet.h."""

_NO_PTS = -(2**63)

_HEAD = 2
"""Seconds at the beginning in which the decoder's frames are compared with the packets."""


class Packet(Struct, frozen=True, gc=False):
    """A packet of the picture, in the order of the file. Times are in units of the time base."""

    dts: int
    pts: int
    duration: int
    is_key: bool
    is_shown: bool


class AudioStream(Struct, frozen=True):
    index: int
    """Among all streams of the file."""
    codec: str


class VideoInfo(Struct, frozen=True, kw_only=True):
    """A video file. Times are in units of `time_base`, seconds as an exact fraction."""

    path: str
    """Absolute."""
    container: str
    """As ffmpeg calls it: `mov,mp4,m4a,3gp,3g2,mj2`."""
    start: Fraction
    """Seconds at which the earliest stream begins; ffmpeg counts from there."""
    stream: int
    """The picture's index among all streams."""
    codec: str
    pixel_format: str | None
    width: int
    height: int
    """As the picture is shown: after a rotation that the file asks for."""
    fps: Fraction
    """Frames a second: exact for a constant rate, else the rate that the file states, or the mean."""
    time_base: Fraction
    frames: tuple[int, ...]
    """When each frame is shown, rising."""
    last_duration: int
    """How long the last frame is shown."""
    packets: tuple[Packet, ...]
    """Empty when the packets do not tell where frames are: then a decoder has to begin at the file's beginning."""
    audio: tuple[AudioStream, ...]

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last one."""
        return (self.frames[-1] - self.frames[0] + self.last_duration) * self.time_base


def beside_picture(audio: Sequence[AudioStream]) -> list[str]:
    """A second output of a command that reads the picture, to go nowhere. When ffmpeg makes timestamps, it counts from
    the earliest of the streams that it is asked for; with this, picture and sound are counted alike."""
    return ["-map", "0:a", "-c", "copy", "-f", "null", "-"] if audio else []


def require_ffmpeg() -> str:
    """The path of an ffmpeg. Raises SpecError when there is none."""
    if (ffmpeg := find_ffmpeg()) is None:
        raise SpecError("there is no ffmpeg on this machine; install it, or run `pip install heliostat[video]`")
    return ffmpeg


def probe(path: str | Path, *, decode: bool = False) -> VideoInfo:
    """Look at the first video stream of a file; reads all of it, and decodes only its first seconds.

    With `decode` every frame is decoded, which takes longer and finds frames that are damaged or hidden. Raises
    SpecError with one sentence when the file is missing or no video.
    """
    source = _existing(Path(path))
    ffmpeg = require_ffmpeg()
    command = [ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-copyts", "-i", source, "-map", "0:V:0"]
    run = _run([*command, "-c", "copy", "-copyinkf", "-f", "framecrc", "-"])
    log = run.stderr
    described = re.search(r"^Input #0, (\S+), from", log, re.MULTILINE)
    if described is None:
        raise SpecError(f"{path} is no video that ffmpeg can read ({_last_line(log)}); choose another file")
    end = re.search(r"^(?:Output #0|Stream mapping)", log, re.MULTILINE)
    description = log[described.start() : end.start() if end else None]
    streams = _streams(description)
    picture = next((s for s in streams if s.kind == "Video" and "(attached pic)" not in s.text), None)
    if picture is None:
        raise SpecError(f"{path} has no video stream; choose a file with a picture")
    header, packets = _packets(run.stdout)
    if run.returncode != 0 or "tb" not in header:
        raise SpecError(f"{path} cannot be read ({_last_line(log)}); repair the file or choose another one")
    time_base = Fraction(header["tb"])
    is_regular = _is_regular(packets)
    frames = sorted(packet.pts for packet in packets if packet.is_shown)
    audio = tuple(AudioStream(stream.index, stream.codec) for stream in streams if stream.kind == "Audio")
    if decode or not is_regular or not _agrees(ffmpeg, source, frames, time_base):
        beside = [] if is_regular else beside_picture(audio)
        frames = _decoded(ffmpeg, source, time_base, copy_timestamps=is_regular, beside=beside)
    if not frames:
        raise SpecError(f"{path} has no frame that can be shown; choose another file")
    if any(later <= earlier for earlier, later in itertools.pairwise(frames)):
        raise SpecError(
            f"the timestamps of {path} do not rise from frame to frame; write it anew with"
            f" `ffmpeg -fflags +genpts -i INPUT -c copy OUTPUT.mkv` and take that file"
        )
    width, height = (int(number) for number in header["dimensions"].split("x"))
    if re.search(r"rotation of -?(90|270)\.", picture.text):
        width, height = height, width
    started = re.search(r"^ *Duration: .*?, start: (-?[\d.]+)", description, re.MULTILINE)
    return VideoInfo(
        path=source,
        container=described[1],
        start=Fraction(started[1]) if started and is_regular else Fraction(0),
        stream=picture.index,
        codec=header.get("codec_id", ""),
        pixel_format=picture.pixel_format,
        width=width,
        height=height,
        fps=_rate(frames, time_base, picture.text),
        time_base=time_base,
        frames=tuple(frames),
        last_duration=_last_duration(frames, packets),
        packets=tuple(packets) if is_regular else (),
        audio=audio,
    )


class _Stream(Struct):
    index: int
    kind: str
    text: str
    """The line about it, and the lines that belong to it."""

    @property
    def codec(self) -> str:
        return re.split(r"[ ,]", self.text.partition(f"{self.kind}: ")[2], maxsplit=1)[0]

    @property
    def pixel_format(self) -> str | None:
        fields = re.split(r",\s*(?![^()]*\))", self.text.splitlines()[0].partition(f"{self.kind}: ")[2])
        return fields[1].partition("(")[0] if len(fields) > 1 and re.match(r"[a-z]\w*", fields[1]) else None


def _streams(description: str) -> list[_Stream]:
    """`  Stream #0:1[0x2](und): Audio: aac (LC), 44100 Hz, …` and what is indented under it."""
    beginnings = list(re.finditer(r"^ +Stream #0:(\d+)\S*: (\w+): ", description, re.MULTILINE))
    ends = [beginning.start() for beginning in beginnings[1:]] + [len(description)]
    return [
        _Stream(int(beginning[1]), beginning[2], description[beginning.start() : end])
        for beginning, end in zip(beginnings, ends, strict=True)
    ]


def _packets(listing: str) -> tuple[dict[str, str], list[Packet]]:
    header: dict[str, str] = {}
    packets: list[Packet] = []
    for line in listing.splitlines():
        if line.startswith("#"):
            key, _, value = line[1:].partition(" 0: ")
            header[key] = value
            continue
        fields = line.split(",")
        flags = next((int(field[3:], 16) for field in fields[6:] if field.startswith(" F=")), _KEY)
        packets.append(
            Packet(
                int(fields[1]),
                int(fields[2]),
                int(fields[3]),
                is_key=bool(flags & _KEY),
                is_shown=not flags & _DISCARD,
            )
        )
    # A recording may begin within a group of pictures; what comes before the first key frame is never shown.
    first = next((index for index, packet in enumerate(packets) if packet.is_key), 0)
    return header, packets[first:]


def _is_regular(packets: Sequence[Packet]) -> bool:
    """Whether the packets tell when frames are shown, and where decoding can begin."""
    return (
        bool(packets)
        and packets[0].is_key
        and all(packet.pts != _NO_PTS != packet.dts for packet in packets)
        and all(earlier.dts < later.dts for earlier, later in itertools.pairwise(packets))
        and len({packet.pts for packet in packets}) == len(packets)
    )


def _agrees(ffmpeg: str, source: str, frames: Sequence[int], time_base: Fraction) -> bool:
    """Whether the decoder shows the frames of the first seconds when the packets say so."""
    limit = frames[0] + _HEAD / time_base if frames else 0
    head = [frame for frame in frames if frame < limit][:200]
    return _decoded(ffmpeg, source, time_base, copy_timestamps=True, count=len(head)) == head


def _decoded(
    ffmpeg: str,
    source: str,
    time_base: Fraction,
    *,
    copy_timestamps: bool,
    count: int | None = None,
    beside: Sequence[str] = (),
) -> list[int]:
    """When the decoder shows each frame: by the file's own timestamps, or by those that ffmpeg makes of them.
    `wrapped_avframe` passes frames on without looking at their content."""
    command = [
        ffmpeg,
        "-nostdin",
        "-hide_banner",
        "-v",
        "error",
        *(["-copyts"] if copy_timestamps else []),
        "-i",
        source,
    ]
    command += ["-map", "0:V:0", "-fps_mode", "passthrough", "-c:v", "wrapped_avframe"]
    command += ["-enc_time_base", f"{time_base.numerator}:{time_base.denominator}"]
    command += ["-frames:v", str(count)] if count is not None else []
    _, packets = _packets(_run([*command, "-f", "framecrc", "-", *beside]).stdout)
    return [packet.pts for packet in packets]


def _last_duration(frames: Sequence[int], packets: Sequence[Packet]) -> int:
    """What the file says of the last frame; where it says nothing, as long as the one before it."""
    stated = next((packet.duration for packet in packets if packet.pts == frames[-1]), 0)
    return stated or (frames[-1] - frames[-2] if len(frames) > 1 else 1)


def _rate(frames: Sequence[int], time_base: Fraction, text: str) -> Fraction:
    span = frames[-1] - frames[0]
    if span and all(later - earlier == frames[1] - frames[0] for earlier, later in itertools.pairwise(frames)):
        return 1 / ((frames[1] - frames[0]) * time_base)
    if stated := re.search(r"([\d.]+)(k?) fps\b", text):
        return to_fraction(Fraction(stated[1]) * 1000 if stated[2] else stated[1])
    return (len(frames) - 1) / (span * time_base) if span else Fraction(25)


def _existing(path: Path) -> str:
    if path.is_dir():
        raise SpecError(f"{path} is a directory; give the path of a video")
    if not path.exists():
        raise SpecError(f"{path} does not exist; give the path of a video")
    return str(path.absolute())


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise SpecError(f"{command[0]} cannot be run ({error.strerror}); set HELIOSTAT_FFMPEG to an ffmpeg") from None


def _last_line(log: str) -> str:
    lines = [re.sub(r"^(\[[^\]]*\] )+", "", line).strip().rstrip(".") for line in log.splitlines()]
    return next((line for line in reversed(lines) if line), "it says nothing")
