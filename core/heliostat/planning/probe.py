"""What is in a video file, as far as planning needs it: the list of its packets, and what `ffmpeg -i` logs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from msgspec import Struct

from heliostat.errors import SpecError
from heliostat.model.spec import to_fraction
from heliostat.planning.packets import NO_TIME, Packet, complaint, list_packets, read_listing, run_ffmpeg

_HEAD = 2
"""Seconds at the beginning in which the decoder's frames are compared with the packets."""


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
    """Empty when the packets do not tell where frames are. A decoder then has to begin at the file's beginning, and
    times are those that ffmpeg makes, counted from the earlier of picture and sound."""
    audio: tuple[AudioStream, ...]

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last one."""
        return (self.frames[-1] - self.frames[0] + self.last_duration) * self.time_base


def probe(path: str | Path, *, decode: bool = False) -> VideoInfo:
    """Look at the first video stream of a file; reads all of it, and decodes only its first seconds.

    With `decode` every frame is decoded, which takes longer and finds frames that are damaged or hidden; so it is
    where the container tells of damage itself. Raises SpecError with one sentence when the file is missing or no video.
    """
    source = _existing(Path(path))
    listing = list_packets(source)
    container, description = _description(listing.log, path)
    streams = _streams(description)
    picture = next((s for s in streams if s.kind == "Video" and "(attached pic)" not in s.text), None)
    if picture is None:
        raise SpecError(f"{path} has no video stream; choose a file with a picture")
    if not listing.is_complete:
        raise SpecError(f"{path} cannot be read ({_last_line(listing.log)}); repair the file or choose another one")
    packets, time_base = _from_first_key(listing.packets), Fraction(listing.header["tb"])
    is_regular = _is_regular(packets)
    frames = sorted(packet.pts for packet in packets if packet.is_shown)
    audio = tuple(AudioStream(stream.index, stream.codec) for stream in streams if stream.kind == "Audio")
    decode = decode or not is_regular or any(packet.is_damaged for packet in packets)
    if decode or not _agrees(source, frames, time_base):
        beside = [] if is_regular else beside_picture(audio)
        frames = _decoded(source, time_base, copy_timestamps=is_regular, beside=beside)
    _check_frames(frames, path)
    width, height = (int(number) for number in listing.header["dimensions"].split("x"))
    if re.search(r"rotation of -?(90|270)\.", picture.text):
        width, height = height, width
    started = re.search(r"^ *Duration: .*?, start: (-?[\d.]+)", description, re.MULTILINE)
    return VideoInfo(
        path=source,
        container=container,
        start=Fraction(started[1]) if started and is_regular else Fraction(0),
        stream=picture.index,
        codec=listing.header.get("codec_id", ""),
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


def beside_picture(audio: Sequence[AudioStream]) -> list[str]:
    """A second output of a command that reads the picture, to go nowhere. When ffmpeg makes timestamps, it counts from
    the earliest of the streams that it is asked for; with this, picture and sound are counted alike."""
    return ["-map", "0:a", "-c", "copy", "-f", "null", "-"] if audio else []


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


def _description(log: str, path: str | Path) -> tuple[str, str]:
    """The container's name and what ffmpeg says of the input."""
    begin = re.search(r"^Input #0, (\S+), from", log, re.MULTILINE)
    if begin is None:
        raise SpecError(f"{path} is no video that ffmpeg can read ({complaint(log)}); choose another file")
    end = re.search(r"^(?:Output #0|Stream mapping)", log, re.MULTILINE)
    return begin[1], log[begin.start() : end.start() if end else None]


def _streams(description: str) -> list[_Stream]:
    """`  Stream #0:1[0x2](und): Audio: aac (LC), 44100 Hz, …` and what is indented under it."""
    beginnings = list(re.finditer(r"^ +Stream #0:(\d+)\S*: (\w+): ", description, re.MULTILINE))
    ends = [beginning.start() for beginning in beginnings[1:]] + [len(description)]
    return [
        _Stream(int(beginning[1]), beginning[2], description[beginning.start() : end])
        for beginning, end in zip(beginnings, ends, strict=True)
    ]


def _from_first_key(packets: list[Packet]) -> list[Packet]:
    """A recording may begin within a group of pictures; what comes before the first key frame is never shown."""
    return packets[next((index for index, packet in enumerate(packets) if packet.is_key), 0) :]


def _is_regular(packets: Sequence[Packet]) -> bool:
    """Whether the packets tell when frames are shown, and where decoding can begin."""
    return (
        bool(packets)
        and packets[0].is_key
        and all(packet.pts != NO_TIME != packet.dts for packet in packets)
        and all(earlier.dts < later.dts for earlier, later in itertools.pairwise(packets))
        and len({packet.pts for packet in packets}) == len(packets)
    )


def _agrees(source: str, frames: Sequence[int], time_base: Fraction) -> bool:
    """Whether the decoder shows the frames of the first seconds when the packets say so."""
    limit = frames[0] + _HEAD / time_base if frames else 0
    head = [frame for frame in frames if frame < limit][:200]
    return _decoded(source, time_base, copy_timestamps=True, count=len(head)) == head


def _decoded(
    source: str, time_base: Fraction, *, copy_timestamps: bool, count: int | None = None, beside: Sequence[str] = ()
) -> list[int]:
    """When the decoder shows each frame: by the file's own timestamps, or by those that ffmpeg makes of them.
    `wrapped_avframe` passes frames on without looking at their content."""
    arguments = ["-v", "error", *(["-copyts"] if copy_timestamps else []), "-i", source]
    arguments += ["-map", "0:V:0", "-fps_mode", "passthrough", "-c:v", "wrapped_avframe"]
    arguments += ["-enc_time_base", f"{time_base.numerator}:{time_base.denominator}"]
    arguments += ["-frames:v", str(count)] if count is not None else []
    _, packets = read_listing(run_ffmpeg([*arguments, "-f", "framecrc", "-", *beside]).stdout)
    return [packet.pts for packet in packets]


def _check_frames(frames: Sequence[int], path: str | Path) -> None:
    if not frames:
        raise SpecError(f"{path} has no frame that can be shown; choose another file")
    if any(later <= earlier for earlier, later in itertools.pairwise(frames)):
        raise SpecError(
            f"the timestamps of {path} do not rise from frame to frame; write it anew with"
            " `ffmpeg -fflags +genpts -i INPUT -c copy OUTPUT.mkv` and take that file"
        )


def _last_duration(frames: Sequence[int], packets: Sequence[Packet]) -> int:
    """What the file says of the last frame; where it says nothing, as long as the one before it."""
    stated = next((packet.duration for packet in packets if packet.pts == frames[-1]), 0)
    return stated or (frames[-1] - frames[-2] if len(frames) > 1 else 1)


def _rate(frames: Sequence[int], time_base: Fraction, text: str) -> Fraction:
    distances = {later - earlier for earlier, later in itertools.pairwise(frames)}
    if len(distances) == 1:
        return 1 / (distances.pop() * time_base)
    if stated := re.search(r"([\d.]+)(k?) fps\b", text):
        return to_fraction(f"{float(stated[1]) * 1000:.0f}" if stated[2] else stated[1])
    return (len(frames) - 1) / ((frames[-1] - frames[0]) * time_base) if distances else Fraction(25)


def _existing(path: Path) -> str:
    if path.is_dir():
        raise SpecError(f"{path} is a directory; give the path of a video")
    if not path.exists():
        raise SpecError(f"{path} does not exist; give the path of a video")
    return str(path.absolute())


def _last_line(log: str) -> str:
    return complaint("\n".join(reversed(log.splitlines())))
