"""The encoder arguments of a transcode."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from heliostat.errors import SpecError
from heliostat.planning.encoder import take_apart

MP4, WEBM = PurePath("film.mp4"), PurePath("FILM.WEBM")


def test_by_default_the_quality_is_constant() -> None:
    assert take_apart(None, MP4, "yuv420p").arguments == ("-c:v", "libx264", "-crf", "20", "-preset", "medium")
    assert take_apart(None, WEBM, "yuv420p").codec == "libvpx-vp9"


@pytest.mark.parametrize("pixel_format", ["rgb24", "bgra", "gbrp", "pal8", "yuv444p"])
def test_by_default_players_can_show_the_film(pixel_format: str) -> None:
    assert take_apart(None, MP4, pixel_format).arguments[-2:] == ("-pix_fmt", "yuv420p")
    assert "-pix_fmt" not in take_apart("-c:v libx264", MP4, pixel_format).arguments


def test_arguments_may_be_text_or_a_list() -> None:
    for written in ("-c:v libx264 -x264-params 'a=1:b=2'", ["-c:v", "libx264", "-x264-params", "a=1:b=2"]):
        encoder = take_apart(written, MP4, None)
        assert encoder.codec == "libx264"
        assert encoder.arguments == ("-c:v", "libx264", "-x264-params", "a=1:b=2")


def test_an_encoder_is_added_where_none_is_named() -> None:
    assert take_apart("-qp 20", MP4, None).arguments == ("-c:v", "libx264", "-qp", "20")
    assert take_apart("-b:v 1M", WEBM, None).arguments == ("-c:v", "libvpx-vp9", "-b:v", "1M")


@pytest.mark.parametrize("option", ["-vf", "-filter:v", "-filter"])
def test_filters_are_kept_apart(option: str) -> None:
    encoder = take_apart(f"-qp 20 {option} scale=64:-2,hflip -preset fast", MP4, None)
    assert encoder.filters == "scale=64:-2,hflip"
    assert encoder.arguments == ("-c:v", "libx264", "-qp", "20", "-preset", "fast")


def test_key_frames_are_put_at_fixed_distances_as_far_as_nothing_else_is_said() -> None:
    fixed = ["-g", "48", "-keyint_min", "48", "-sc_threshold", "0", "-flags", "+cgop"]
    assert take_apart("-c:v libx264", MP4, None).fixed_gop(48) == fixed
    assert take_apart("-c:v libx265", MP4, None).fixed_gop(48) == fixed
    assert take_apart("-c:v libx264 -flags +ildct", MP4, None).fixed_gop(48) == fixed[:-2]
    assert take_apart("-c:v mpeg4", MP4, None).fixed_gop(48) == ["-g", "48"]
    encoder = take_apart("-c:v libx264 -g 30", MP4, None)
    assert encoder.gop == 30
    assert encoder.fixed_gop(30) == []


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("-r 30", "the video arguments cannot hold -r: the film keeps the frames of the input and their times"),
        ("-ss 3", "the video arguments cannot hold -ss: the film keeps the frames of the input and their times"),
        ("-f mp4", "the video arguments cannot hold -f: inputs and outputs are Heliostat's own matter"),
        ("-i a.mp4", "the video arguments cannot hold -i: inputs and outputs are Heliostat's own matter"),
        ("-pass 1", "the video arguments cannot hold -pass: two passes would need the whole film in one process"),
        ("-c:a aac", "the video arguments cannot hold -c:a: the sound is copied when the chunks are joined"),
        ("-c copy", "the video arguments say copy, and a transcode encodes; name an encoder such as libx264"),
        ("-g 0", "the video arguments have -g '0'; give a number of frames"),
        ("-g", "the video arguments have -g ''; give a number of frames"),
        ("-vf 'a", "the text of the video arguments cannot be split into words: a quote is not closed"),
    ],
)
def test_arguments_that_would_change_the_frames_are_refused(written: str, problem: str) -> None:
    with pytest.raises(SpecError) as raised:
        take_apart(written, MP4, None)
    assert str(raised.value) == problem
