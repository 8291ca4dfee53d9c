"""The encoder arguments of a transcode: what the user gave, and what exact chunks need besides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from msgspec import Struct

from heliostat.errors import SpecError
from heliostat.model.command import split_command

DEFAULT_ARGS = "-c:v libx264 -crf 20 -preset medium"
WEBM_ARGS = "-c:v libvpx-vp9 -crf 30 -b:v 0 -row-mt 1"
"""The default for .webm, which cannot hold H.264."""

LONGEST_GOP = 250
"""Frames from one key frame to the next at the most; the default of x264 and x265."""

_FIXED_GOP = {
    # Every chunk begins with a key frame that nothing refers across, just where one process would put it.
    "libx264": {"-g": "{gop}", "-keyint_min": "{gop}", "-sc_threshold": "0", "-flags": "+cgop"},
    "libx265": {"-g": "{gop}", "-keyint_min": "{gop}", "-sc_threshold": "0", "-flags": "+cgop"},
}

_FILTERS = {"-vf", "-filter", "-filter:v", "-filter:v:0"}
_CODECS = {"-c", "-codec", "-vcodec", "-c:v", "-codec:v", "-c:v:0", "-codec:v:0"}

_REFUSED = {
    **dict.fromkeys(
        ("-r", "-r:v", "-fps_mode", "-vsync", "-ss", "-t", "-to", "-frames", "-frames:v", "-vframes", "-enc_time_base"),
        "the film keeps the frames of the input and their times",
    ),
    **dict.fromkeys(
        ("-i", "-map", "-f", "-y", "-n", "-filter_complex", "-lavfi", "-copyts", "-itsoffset", "-vn"),
        "inputs and outputs are Heliostat's own matter",
    ),
    **dict.fromkeys(("-pass", "-pass:v", "-passlogfile"), "two passes would need the whole film in one process"),
    **dict.fromkeys(("-c:a", "-codec:a", "-acodec", "-b:a", "-an"), "the sound is copied when the chunks are joined"),
}


class Encoder(Struct, frozen=True, kw_only=True):
    """Encoder arguments, taken apart."""

    codec: str
    arguments: tuple[str, ...]
    """Without the filters."""
    filters: str | None
    """A filter chain for the picture."""
    gop: int | None
    """The distance of key frames, when the arguments give one."""

    def fixed_gop(self, gop: int) -> list[str]:
        """Arguments that make key frames lie `gop` frames apart, as far as the given ones do not say otherwise."""
        if self.gop is not None:
            return []
        wanted = _FIXED_GOP.get(self.codec, {"-g": "{gop}"})
        return [
            text.format(gop=gop)
            for option, value in wanted.items()
            if option not in self.arguments
            for text in (option, value)
        ]


def take_apart(video_args: str | Sequence[str] | None, output: PurePath, pixel_format: str | None) -> Encoder:
    """The encoder for an output; `video_args` are ffmpeg output options, by default of constant quality.

    Raises SpecError for options that would change which frames there are, or when they are shown."""
    is_webm = output.suffix.lower() == ".webm"
    arguments = _split(video_args if video_args is not None else WEBM_ARGS if is_webm else DEFAULT_ARGS)
    kept: list[str] = []
    filters: str | None = None
    codec: str | None = None
    gop: int | None = None
    remaining = iter(arguments)
    for argument in remaining:
        if argument in _REFUSED:
            raise SpecError(f"the video arguments cannot hold {argument}: {_REFUSED[argument]}")
        if argument in _FILTERS:
            filters = next(remaining, None)
            continue
        kept.append(argument)
        if argument in _CODECS or argument in ("-g", "-g:v"):
            value = next(remaining, "")
            kept.append(value)
            if argument in _CODECS:
                codec = value
            elif value.isdecimal() and int(value) > 0:
                gop = int(value)
            else:
                raise SpecError(f"the video arguments have {argument} {value!r}; give a number of frames")
    if codec == "copy":
        raise SpecError("the video arguments say copy, and a transcode encodes; name an encoder such as libx264")
    if codec is None:
        codec = "libvpx-vp9" if is_webm else "libx264"
        kept = ["-c:v", codec, *kept]
    if video_args is None and _is_rgb(pixel_format):
        kept += ["-pix_fmt", "yuv420p"]  # x264 would take yuv444p, which few players show
    return Encoder(codec=codec, arguments=tuple(kept), filters=filters, gop=gop)


def _split(video_args: str | Sequence[str]) -> list[str]:
    try:
        return split_command(video_args)
    except ValueError as error:
        raise SpecError(str(error).replace("the command", "the text of the video arguments")) from None


def _is_rgb(pixel_format: str | None) -> bool:
    return pixel_format is not None and pixel_format.startswith(
        ("rgb", "bgr", "0rgb", "0bgr", "argb", "abgr", "gbr", "pal8", "x2rgb", "x2bgr", "yuv444p", "yuva444p")
    )
