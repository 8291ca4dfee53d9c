"""What ffmpeg tells of the packets of a video. Asks the ffmpeg binary alone, since ffprobe is often missing.

The list is what the `framecrc` muxer prints (libavformat/framecrcenc.c): `stream, dts, pts, duration, size, checksum`,
then `F=` with the flags unless these are just "key frame".
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

from msgspec import Struct

from heliostat.errors import SpecError
from heliostat.worker.ffmpeg import find_ffmpeg

NO_TIME = -(2**63)
"""AV_NOPTS_VALUE: what stands where there is no timestamp."""

_KEY, _CORRUPT, _DISCARD = 1, 2, 4
"""AV_PKT_FLAG_KEY and the like of libavcodec/packet.h."""


class Packet(Struct, frozen=True, gc=False):
    """A packet of the picture, in the order of the file. Times are in units of the time base."""

    dts: int
    pts: int
    duration: int
    is_key: bool
    is_shown: bool
    is_damaged: bool = False


class Listing(Struct, frozen=True):
    """What ffmpeg printed and logged."""

    header: dict[str, str]
    """`tb`, `codec_id`, `dimensions`, …"""
    packets: list[Packet]
    log: str
    is_complete: bool


def require_ffmpeg() -> str:
    """The path of an ffmpeg. Raises SpecError when there is none."""
    if (ffmpeg := find_ffmpeg()) is None:
        raise SpecError("there is no ffmpeg on this machine; install it, or run `pip install heliostat[video]`")
    return ffmpeg


def run_ffmpeg(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run it to its end. Raises SpecError when it cannot be started."""
    command = [require_ffmpeg(), "-nostdin", "-hide_banner", "-nostats", *arguments]
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise SpecError(f"{command[0]} cannot be run ({error.strerror}); set HELIOSTAT_FFMPEG to an ffmpeg") from None
    if "Unrecognized option 'fps_mode'" in result.stderr:
        raise SpecError(f"{command[0]} is too old; take ffmpeg 5.1 or newer")
    return result


def list_packets(source: str) -> Listing:
    """All packets of the first video stream that is no cover picture, without decoding them."""
    arguments = ["-copyts", "-i", source, "-map", "0:V:0", "-c", "copy", "-copyinkf", "-f", "framecrc", "-"]
    result = run_ffmpeg(arguments)
    header, packets = read_listing(result.stdout)
    return Listing(header, packets, result.stderr, result.returncode == 0 and "tb" in header)


def read_listing(text: str) -> tuple[dict[str, str], list[Packet]]:
    """What `framecrc` printed of the first stream."""
    header: dict[str, str] = {}
    packets: list[Packet] = []
    for line in text.splitlines():
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
                is_damaged=bool(flags & _CORRUPT),
            )
        )
    return header, packets


def complaint(log: str) -> str:
    """The first line of what ffmpeg logged as errors: the cause. Those after it are how it came to a halt."""
    lines = (re.sub(r"^(\[[^\]]*\] )+", "", line).strip().rstrip(".") for line in log.splitlines())
    return next(filter(None, lines), "ffmpeg does not say why")
