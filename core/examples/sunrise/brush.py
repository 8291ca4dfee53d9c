"""Small painting tools on top of Pillow: colours, ramps, round glows, sparkles, smooth noise."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from PIL import Image

Colour = tuple[int, int, int]
Point = tuple[float, float]


def mix(a: Colour, b: Colour, part: float) -> Colour:
    """`a` at 0, `b` at 1."""
    return (
        int(a[0] + (b[0] - a[0]) * part + 0.5),
        int(a[1] + (b[1] - a[1]) * part + 0.5),
        int(a[2] + (b[2] - a[2]) * part + 0.5),
    )


def between(a: Point, b: Point, part: float) -> Point:
    """`a` at 0, `b` at 1."""
    return (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part)


def ramp(stops: Sequence[tuple[float, Colour]], value: float) -> Colour:
    """The colour at a value between stops, which are sorted by theirs."""
    for (low, first), (high, second) in pairwise(stops):
        if value <= high:
            return mix(first, second, max(0.0, (value - low) / (high - low)))
    return stops[-1][1]


@cache
def falloff(power: float) -> Image.Image:
    """A round glow: 255 in the middle, 0 at the edge, the steeper the higher the power."""
    # Pillow's gradient grows from 0 in the middle to 181 where the circle touches the edge.
    return Image.radial_gradient("L").point([round(255 * max(0.0, 1 - v / 180) ** power) for v in range(256)])


def glow(layer: Image.Image, centre: Point, radius: Point, colour: Colour | int, strength: float, power: float) -> None:
    """Lays a round glow over the layer; only the part inside the layer is computed."""
    (x, y), (rx, ry) = centre, radius
    left, top = max(0, math.floor(x - rx)), max(0, math.floor(y - ry))
    right, bottom = min(layer.width, math.ceil(x + rx)), min(layer.height, math.ceil(y + ry))
    if strength <= 0.0 or right <= left or bottom <= top:
        return
    kx, ky = 128.0 / rx, 128.0 / ry
    box = (
        max(0.0, (left - x + rx) * kx),
        max(0.0, (top - y + ry) * ky),
        min(256.0, (right - x + rx) * kx),
        min(256.0, (bottom - y + ry) * ky),
    )
    mask = falloff(power).resize((right - left, bottom - top), Image.Resampling.BILINEAR, box)
    if strength < 1.0:
        mask = mask.point([round(v * strength) for v in range(256)])
    layer.paste(colour, (left, top, right, bottom), mask)


@cache
def star(level: int) -> Image.Image:
    """A glint with four rays, in 32 levels of brightness."""
    sprite = Image.new("L", (96, 96))
    for wide, tall, power in ((20, 20, 2.2), (48, 3, 1.4), (3, 48, 1.4)):
        glow(sprite, (48, 48), (wide, tall), 255, level / 32, power)
    return sprite


def sparkle(layer: Image.Image, centre: Point, size: float, colour: Colour, strength: float) -> None:
    """Lays a glint over the layer; the size is from its middle to the tip of a ray."""
    mask = star(round(32 * min(1.0, strength))).resize((2 * math.ceil(size), 2 * math.ceil(size)))
    layer.paste(colour, (round(centre[0] - mask.width / 2), round(centre[1] - mask.height / 2)), mask)


@cache
def noise(width: int, height: int, cells: tuple[int, int], seed: int) -> Image.Image:
    """Smooth random blotches around middle grey, from coarse cells down to cells 16 times finer."""
    dice = random.Random(seed)
    total = Image.new("L", (width, height), 128)
    for octave in range(5):
        size = (cells[0] << octave, cells[1] << octave)
        fine = Image.frombytes("L", size, dice.randbytes(size[0] * size[1]))
        total = Image.blend(total, fine.resize((width, height), Image.Resampling.BICUBIC), 0.36)
    return total
