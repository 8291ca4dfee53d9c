"""The stitcher `ffmpeg`: joins films of the same kind without encoding the picture again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from heliostat.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from heliostat.builtin.ffmpeg.stitcher import FfmpegStitcher


class FfmpegOptions(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Options of the stitcher `ffmpeg`. Arguments are those of the ffmpeg program, one item for each."""

    audio_input: tuple[str, ...] = ()
    """Where the sound comes from: `["-i", "sound.wav"]`, `["-f", "lavfi", "-i", "sine=frequency=440"]`. Paths are
    relative to the job directory. Without it the parts' own sound is copied, if they have any."""
    audio_args: tuple[str, ...] = ("-c:a", "aac", "-b:a", "192k")
    """How the sound of `audio_input` is encoded, once for the whole film. Unless they hold `-map` or `-an`, all sound
    of the first input is taken."""
    cut_audio: bool = True
    """Whether the sound ends with the picture at the latest."""
    output_args: tuple[str, ...] = ()
    """More arguments for the film. For .mp4, .m4v and .mov `-movflags +faststart` goes before them."""
    part_starts: tuple[int, ...] | None = None
    """Microseconds at which every part begins, counted from the first one. When given, the film is checked: it has as
    many frames as the chunks, and every part begins there. By default parts follow from the chunks' numbers of frames
    and the frame rate."""
    video_delay: int = 0
    """Microseconds by which the picture begins after the sound; may be below 0."""


def _open(options: FfmpegOptions) -> FfmpegStitcher:
    from heliostat.builtin.ffmpeg.stitcher import FfmpegStitcher  # only when something is joined

    return FfmpegStitcher(options)


@hookimpl
def register_stitchers(register: Register) -> None:
    register("ffmpeg", _open, options=FfmpegOptions, summary="Films of one kind into one, the picture as it is.")
