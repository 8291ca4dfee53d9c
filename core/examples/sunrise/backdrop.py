"""Paints what lies behind the mirrors: sky, clouds, stars, hills, and the ground with its shadows."""

from __future__ import annotations

import math
import random
from functools import cache
from itertools import pairwise

from brush import Colour, glow, mix, noise
from field import PIVOT, RECEIVER, RINGS, SECONDS, ease
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from scene import WHITE, Scene

RANGES = ((0.062, 0.60), (0.042, 0.34), (0.020, 0.10))
"""Of each range of hills, far to near: greatest height (tangent of its elevation) and how much haze hides it."""
MAP, METRE = 1024, 1024 / 1000
"""Pixels of the ground's map along a side, and pixels per metre: it shows a square kilometre."""


def backdrop(scene: Scene) -> Image.Image:
    """Sky, clouds and ground at half size, enlarged: all of it is soft."""
    width, height = scene.width // 2, scene.height // 2
    focal, horizon = scene.eye.focal / 2, scene.eye.horizon / 2
    column = bytearray()
    for y in range(height):
        rise = horizon - y
        if rise > 0:
            colour = scene.sky[min(90, int(math.degrees(math.atan(rise / focal)) * 2))]
        else:
            depth = focal * scene.eye.eye[2] / (1.0 - rise)
            colour = mix(scene.haze, scene.ground, 0.95 * math.exp(-((depth / 2400) ** 1.1)))
        column += bytes(colour)
    image = Image.frombytes("RGB", (1, height), bytes(column)).resize((width, height), Image.Resampling.NEAREST)
    sun = (scene.sun_place[0] / 2, scene.sun_place[1] / 2)
    line = int(horizon) + 1
    sky = image.crop((0, 0, width, line))
    aura = mix(scene.warm, WHITE, 0.04 * scene.second)
    glow(sky, sun, (0.85 * width, 0.42 * width), aura, 0.8 - 0.03 * scene.second, 2.6)
    shift = width * (0.12 - 0.08 * scene.second / SECONDS)
    window = (shift, 0.0, shift + width, float(line))
    drifted = clouds(width * 5 // 4, line).resize((width, line), Image.Resampling.BILINEAR, window)
    lit = Image.new("RGB", (width, line), scene.cloud)
    glow(
        lit,
        sun,
        (0.7 * width, 0.45 * width),
        mix(scene.warm, WHITE, 0.3),
        0.5 + 0.4 * ease(0.3, 2.4, scene.second),
        2.0,
    )
    sky.paste(lit, (0, 0), drifted)
    image.paste(sky)
    ground = ImageChops.multiply(image.crop((0, line, width, height)), soil(scene, line))
    if scene.day > 0.0:
        ground.paste(mix(scene.ground, (20, 18, 50), 0.8), (0, 0), shadows(scene).crop((0, line, width, height)))
    x, base, scale = (value / 2 for value in scene.eye.place((0.0, 0.0, 0.0)))
    glow(ground, (x, base - line), (22 * scale, 7 * scale), mix(scene.ground, (12, 12, 36), 0.8), 0.8, 1.5)
    glow(ground, (sun[0], 0), (0.5 * width, 0.22 * height), scene.warm, 0.05 + 0.45 * scene.day, 1.8)
    image.paste(ground, (0, line))
    image = ImageChops.multiply(image, vignette(width, height))
    return image.resize((scene.width, scene.height), Image.Resampling.BILINEAR)


@cache
def vignette(width: int, height: int) -> Image.Image:
    """A little darker toward the corners."""
    shade = Image.radial_gradient("L").point([255 - round(80 * (v / 255) ** 2.4) for v in range(256)])
    shade = shade.resize((width, height), Image.Resampling.BICUBIC)
    return Image.merge("RGB", (shade, shade, shade))


@cache
def clouds(width: int, height: int) -> Image.Image:
    """How much of the sky clouds cover: thin blotches on a flat ceiling, seen in perspective down to the horizon."""
    ceiling = noise(960, 400, (7, 5), 23).point([min(235, max(0, round((v - 128) * 5.0))) for v in range(256)])
    shrink = -1.0 / (1.15 * height)
    plane = (120.0 / width, 480.0 * shrink, 420.0, 0.0, 0.0, 45.0, 0.0, shrink)
    cover = ceiling.transform((width, height), Image.Transform.PERSPECTIVE, plane, Image.Resampling.BICUBIC)
    fade = Image.linear_gradient("L").point([min(255, 3 * (255 - v)) for v in range(256)])
    return ImageChops.multiply(cover, fade.resize((width, height)))


@cache
def earth() -> Image.Image:
    """The ground from above with the tower in its middle: sand, and lanes between the rings of mirrors."""
    sand = noise(MAP, MAP, (20, 20), 5).point([min(255, round(236 + (v - 128) * 0.45)) for v in range(256)])
    draw = ImageDraw.Draw(sand)
    for radius, following in pairwise(RINGS):
        reach = (radius + following) / 2 * METRE
        box = (MAP / 2 - reach, MAP / 2 - reach, MAP / 2 + reach, MAP / 2 + reach)
        draw.ellipse(box, outline=255, width=round(4 * METRE))
    draw.ellipse((MAP / 2 - 20, MAP / 2 - 20, MAP / 2 + 20, MAP / 2 + 20), fill=252)
    return sand.filter(ImageFilter.GaussianBlur(1.0))


def soil(scene: Scene, line: int) -> Image.Image:
    """The ground's brightness in perspective, from the row `line` down, at half size."""
    eye, focal = scene.eye, scene.eye.focal / 2
    # A pixel (x, y) shows the ground at depth k / (slope * y + 1), x / focal of that to the right.
    drop = line + 0.5 - eye.horizon / 2
    slope, k = 1.0 / drop, eye.eye[2] / drop * METRE
    x0, y0 = MAP / 2 + eye.eye[0] * METRE, MAP / 2 - eye.eye[1] * METRE
    centre = eye.centre / 2
    plane = (
        k,
        x0 * slope,
        x0 + (eye.yaw * focal - centre) * k,
        eye.yaw * k,
        y0 * slope,
        y0 - (focal + eye.yaw * centre) * k,
        0.0,
        slope,
    )
    size = (scene.width // 2, scene.height // 2 - line)
    seen = earth().transform(size, Image.Transform.PERSPECTIVE, plane, Image.Resampling.BILINEAR, fillcolor=236)
    return Image.merge("RGB", (seen, seen, seen))


def shadows(scene: Scene) -> Image.Image:
    """Where tower, mirrors and posts keep the sun off the ground, softly, at half size."""
    mask = Image.new("L", (scene.width // 2, scene.height // 2))
    draw = ImageDraw.Draw(mask)
    # The sun's disc is low at first: without a limit, shadows would reach behind the camera.
    lean = min(14.0, 1.0 / scene.sun[2])
    dx, dy = -scene.sun[0] * lean, -scene.sun[1] * lean

    def cast(x: float, y: float, z: float) -> tuple[float, float]:
        px, py, _ = scene.eye.place((x + dx * z, y + dy * z, 0.0))
        return px / 2, py / 2

    for sight in scene.sights:
        x, y, _ = sight.mirror.position
        draw.polygon([cast(*corner) for corner in sight.corners], fill=200)
        if sight.scale > 1.4:
            draw.line((cast(x, y, 0.0), cast(x, y, PIVOT)), fill=200, width=max(1, round(0.3 * sight.scale)))
    top = min(RECEIVER[2], 150.0 / max(0.01, -dy))
    draw.polygon([cast(-5.0, 0.0, 0.0), cast(5.0, 0.0, 0.0), cast(3.0, 0.0, top), cast(-3.0, 0.0, top)], fill=200)
    strength = scene.day * (0.72 - 0.02 * scene.second)
    return mask.filter(ImageFilter.BoxBlur(scene.height / 900)).point([round(v * strength) for v in range(256)])


def stars(image: Image.Image, scene: Scene) -> None:
    """Fixed stars that twinkle, and fade as the sky brightens, lowest first."""
    dice = random.Random(3)
    draw = ImageDraw.Draw(image)
    for _ in range(380):
        x, y, size, phase = dice.random(), dice.random() ** 1.3 * 0.38, dice.random() ** 4, dice.uniform(0, 6.3)
        fade = 1.0 - ease(0.0, 1.0, scene.second / 2.6 + 1.4 * y - 0.2)
        light = fade * (0.25 + 0.75 * size) * (0.8 + 0.2 * math.sin(phase + 5.0 * scene.second))
        if light < 0.02:
            continue
        px, py = round(x * (scene.width - 1)), round(y * scene.height)
        below: Colour = image.getpixel((px, py))  # type: ignore[assignment]
        draw.point((px, py), fill=mix(below, (236, 240, 255), light))
        if size > 0.3 and scene.height >= 400:
            arms = [(px + 1, py), (px - 1, py), (px, py + 1), (px, py - 1)]
            draw.point(arms, fill=mix(below, (236, 240, 255), 0.4 * light))


def sun_disc(image: Image.Image, scene: Scene) -> None:
    """The sun itself; the ground keeps it from shining through from below the horizon."""
    above = image.crop((0, 0, scene.width, int(scene.eye.horizon)))
    radius = 0.027 * scene.height
    glow(above, scene.sun_place, (radius, radius), mix((255, 204, 120), WHITE, scene.day), 1.0, 0.2)
    image.paste(above)


def hills(image: Image.Image, scene: Scene) -> None:
    """Ranges of hills, each hazier than the one before it, drawn at double size and reduced; mist hides their feet."""
    eye = scene.eye
    top, foot = int(eye.horizon - 0.068 * eye.focal), int(eye.horizon) + 1
    box, size = (0, top, scene.width, foot), (2 * scene.width, 2 * (foot - top))
    sheet = image.resize(size, Image.Resampling.NEAREST, box)
    draw = ImageDraw.Draw(sheet)
    near = mix(scene.ground, (34, 32, 78), 0.55)
    for layer, (height, hidden) in enumerate(RANGES):
        outline = [(size[0] + 8.0, size[1] + 2.0), (-8.0, size[1] + 2.0)]
        for step in range(161):
            x = -8.0 + (size[0] + 16.0) * step / 160
            angle = (x / 2 - eye.centre) / eye.focal + eye.yaw + 0.0004 * layer * eye.eye[0] + 1.7 * layer
            outline.append((x, 2.0 * (eye.horizon - top - height * ridge(angle) * eye.focal)))
        draw.polygon(outline, fill=mix(near, scene.haze, hidden))
    image.paste(sheet.reduce(2), box)
    high, low = foot - math.ceil(0.045 * scene.height), foot + math.ceil(0.03 * scene.height)
    rise = [0.97 * ease(high, foot, y) * ease(low, foot, y) for y in range(high, low)]
    mist = Image.frombytes("L", (1, low - high), bytes(round(255 * part) for part in rise))
    image.paste(scene.haze, (0, high, scene.width, low), mist.resize((scene.width, low - high)))


def ridge(angle: float) -> float:
    """A skyline, 0 to 1: broad mountains with sharp crests and small teeth."""
    crest = 0.42 + 0.26 * math.sin(4.1 * angle + 2.0) + 0.22 * (1.0 - 2.0 * abs(math.sin(4.7 * angle + 0.6)))
    teeth = 0.10 * (1.0 - 2.0 * abs(math.sin(13.1 * angle))) + 0.05 * (1.0 - 2.0 * abs(math.sin(29.3 * angle + 1.0)))
    return max(0.05, crest + teeth + 0.02 * math.sin(83.0 * angle) + 0.012 * math.sin(171.0 * angle))
