"""Draws the film's frames: a run of them as an H.264 file through ffmpeg, or a single one as a picture.

python draw.py --start 0 --count 24 --fps 24 --width 1280 --height 720 --output part.mp4
python draw.py --frame 132 --png frame.png
"""

from __future__ import annotations

import argparse
import math
import os
import random
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from functools import cache

try:
    from PIL import Image, ImageChops
except ModuleNotFoundError:
    sys.exit(f"draw.py: {sys.executable} has no Pillow: install it there, or start with `uv run`")

from backdrop import backdrop, hills, stars, sun_disc
from foreground import light_up, structures
from scene import Scene

KEYFRAMES = 24
"""Every so many frames a new closed group begins. Chunks of a multiple of this encode as one long run would."""
CONTRAST = [min(255, max(0, round(v + 9.0 * math.sin((v - 118) / 128 * math.pi)))) for v in range(256)]


@cache
def grain(width: int, height: int) -> Image.Image:
    """Fine noise from 0 to 4 that keeps smooth gradients from showing steps."""
    specks = Image.frombytes("L", (width, height), random.Random(1).randbytes(width * height))
    layer = specks.point([v * 5 // 256 for v in range(256)])
    return Image.merge("RGB", (layer, layer, layer))


def picture(frame: int, fps: float, width: int, height: int) -> Image.Image:
    """One frame of the film: a pure function of its number."""
    scene = Scene(frame / fps, width, height)
    image = backdrop(scene)
    stars(image, scene)
    sun_disc(image, scene)
    hills(image, scene)
    structures(image, scene)
    light_up(image, scene)
    specks = ImageChops.offset(grain(width, height), frame * 389 % width, frame * 211 % height)
    return ImageChops.add(image, specks, 1.0, -2).point(CONTRAST * 3)


def encoder(fps: str, width: int, height: int, output: str) -> list[str]:
    """The ffmpeg command that reads RGB frames on stdin and reports its progress on stdout."""
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", fps, "-i", "pipe:0"]
    # A constant quantiser: unlike CRF it looks at no other frame, so a chunk comes out as in one long run.
    quality = ["-c:v", "libx264", "-preset", "superfast", "-qp", "19", "-threads", "1"]
    groups = ["-g", str(KEYFRAMES), "-keyint_min", str(KEYFRAMES), "-sc_threshold", "0", "-flags", "+cgop"]
    colour = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv420p", "-colorspace", "bt709"]
    colour += ["-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    quiet = ["-hide_banner", "-loglevel", "error", "-nostats", "-progress", "pipe:1", "-y"]
    return [os.environ.get("HELIOSTAT_FFMPEG", "ffmpeg"), *quiet, *source, *quality, *groups, *colour, output]


def film(start: int, count: int, fps: str, width: int, height: int, output: str) -> int:
    """Draws and encodes frames; returns ffmpeg's exit status."""
    command = encoder(fps, width, height, output)
    try:
        ffmpeg = subprocess.Popen(command, stdin=subprocess.PIPE)
    except OSError as error:
        print(f"draw.py: {command[0]} cannot be run ({error.strerror}): set HELIOSTAT_FFMPEG", file=sys.stderr)
        return 127
    assert ffmpeg.stdin is not None
    with suppress(BrokenPipeError), ffmpeg.stdin as pipe:  # When ffmpeg ends early, its message and status say why.
        for frame in range(start, start + count):
            pipe.write(picture(frame, float(Fraction(fps)), width, height).tobytes())
    return ffmpeg.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw frames of the sunrise film.")
    parser.add_argument("--start", type=int, default=0, help="first frame, from 0")
    parser.add_argument("--count", type=int, default=240, help="how many frames")
    parser.add_argument("--fps", default="24", help="frames per second, a number or a fraction")
    parser.add_argument("--width", type=int, default=1280, help="an even number of pixels")
    parser.add_argument("--height", type=int, default=720, help="an even number of pixels")
    parser.add_argument("--output", help="the video file to write")
    parser.add_argument("--frame", type=int, default=132, help="the frame to draw with --png")
    parser.add_argument("--png", help="draw one frame as a picture instead")
    options = parser.parse_args()
    if options.png:
        picture(options.frame, float(Fraction(options.fps)), options.width, options.height).save(options.png)
        return 0
    if not options.output:
        parser.error("say where to write: --output FILE, or --frame N --png FILE")
    return film(options.start, options.count, options.fps, options.width, options.height, options.output)


if __name__ == "__main__":
    sys.exit(main())
