"""What a transcode takes from the original when the chunks are joined: sound, chapters and metadata."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from heliostat.errors import SpecError
from heliostat.planning.packets import run_ffmpeg
from heliostat.planning.probe import AudioStream, VideoInfo

_CODERS = {"copy": None, "aac": "192k", "libopus": "160k", "mp2": "256k", "pcm_s16le": None}
"""How a stream of sound gets into the film, with the bit rate: the first way that the container takes."""


def join_options(info: VideoInfo, film: Path, starts: Sequence[int]) -> dict[str, object]:
    """The options of the stitcher `ffmpeg` for parts that begin with these frames. Raises SpecError when a file like
    the film cannot hold the sound."""
    first = info.frames[0]
    return {
        "partStarts": [microseconds((info.frames[start] - first) * info.time_base) for start in starts],
        "videoDelay": microseconds(first * info.time_base - info.start),
        "audioInput": _original(info),
        "audioArgs": _audio_arguments(info, film),
        "cutAudio": False,
        "outputArgs": _metadata_arguments(info),
    }


def microseconds(seconds: Fraction) -> int:
    """The nearest whole number of them; halves are rounded up, so that distances stay what they are."""
    return (2 * 10**6 * seconds + 1).__floor__() // 2


def _original(info: VideoInfo) -> list[str]:
    """The input with the sound, its times shifted as those of the picture were."""
    source = ["-i", info.path]
    if info.packets:
        return ["-copyts", "-itsoffset", f"{-microseconds(info.start)}us", *source]
    if info.audio:
        return [*source, "-map", f"1:{info.stream}", "-c", "copy", "-f", "null", "-"]  # counted as in the chunks
    return source


def _audio_arguments(info: VideoInfo, film: Path) -> list[str]:
    if not info.audio:
        return ["-an"]
    arguments: list[str] = []
    for number, stream in enumerate(info.audio):
        coder = _coder(info, stream, film)
        arguments += ["-map", f"1:{stream.index}", f"-c:a:{number}", coder]
        if (bit_rate := _CODERS[coder]) is not None:
            arguments += [f"-b:a:{number}", bit_rate]
    return arguments


def _coder(info: VideoInfo, stream: AudioStream, film: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        trial = str(Path(folder, f"film{film.suffix}"))
        for coder in _CODERS:
            arguments = ["-v", "error", "-y", "-i", info.path, "-map", f"0:{stream.index}", "-c", coder]
            if run_ffmpeg([*arguments, "-frames:a", "5", trial]).returncode == 0:
                return coder
    raise SpecError(f"a {film.suffix} file cannot hold the sound of {info.path}; choose another container")


def _metadata_arguments(info: VideoInfo) -> list[str]:
    # ffmpeg copies the metadata of no stream by itself once it is told of one.
    streams = [("v", 0, info.stream), *(("a", number, stream.index) for number, stream in enumerate(info.audio))]
    return [
        *("-map_metadata", "1", "-map_chapters", "1"),
        *(
            argument
            for kind, number, index in streams
            for argument in (f"-map_metadata:s:{kind}:{number}", f"1:s:{index}")
        ),
    ]
