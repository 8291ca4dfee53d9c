"""Paints the tower and the mirrors, then all the light in the air: beams, glints, the receiver's glow, the sun's."""

from __future__ import annotations

import math
from collections.abc import Callable

from brush import Colour, Point, between, glow, mix, ramp, sparkle
from field import RECEIVER
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from scene import WHITE, Scene, Sight

HEAT = ((0.0, (40, 38, 48)), (0.2, (226, 88, 40)), (0.5, (255, 196, 112)), (0.85, (255, 250, 232)))
"""Power on the receiver, and the colour in which it glows."""
Fill = Callable[[list[Point], Colour], None]


def structures(image: Image.Image, scene: Scene) -> None:
    """Lays the mirrors and the tower on the image."""
    field_top = max(0, math.floor(min(y for sight in scene.sights for _, y in sight.quad)))
    centre, _, scale = scene.eye.place(RECEIVER)
    tower_box = (max(0, math.floor(centre - 5 * scale)), 0, min(scene.width, math.ceil(centre + 5 * scale)), field_top)
    paint(image, scene, tower_box, [])
    paint(image, scene, (0, field_top, scene.width, scene.height), scene.sights)


def paint(image: Image.Image, scene: Scene, box: tuple[int, int, int, int], sights: list[Sight]) -> None:
    """Draws the tower and some mirrors, far ones first, on a part of the image at double size, then reduced."""
    left, top, right, bottom = box
    size = (2 * (right - left), 2 * (bottom - top))
    sheet = image.resize(size, Image.Resampling.NEAREST, box)
    draw = ImageDraw.Draw(sheet)

    def fill(points: list[Point], colour: Colour) -> None:
        draw.polygon([(2.0 * (x - left), 2.0 * (y - top)) for x, y in points], fill=colour)

    def line(a: Point, b: Point, colour: Colour, width: float) -> None:
        ends = (2.0 * (a[0] - left), 2.0 * (a[1] - top), 2.0 * (b[0] - left), 2.0 * (b[1] - top))
        draw.line(ends, fill=colour, width=max(1, round(2.0 * width)))

    dark = mix(scene.ground, (16, 18, 44), 0.75)
    frame = mix(dark, scene.sky[70], 0.25)
    rim = mix(frame, scene.warm, 0.15 + 0.7 * scene.day)
    behind = sum(sight.mirror.position[1] > 0.0 for sight in sights)
    for place, sight in enumerate(sights):
        if place == behind:
            tower(scene, fill)
        (x, y), (_, ground), scale, quad = sight.centre, sight.foot, sight.scale, sight.quad
        line((x, y), (x, ground), mix(dark, scene.haze, sight.air), 0.5 * scale)
        edge = mix(rim, scene.haze, sight.air)
        if sight.face:
            fill(quad, sight.face)
            line(quad[0], quad[1], mix(sight.face, edge, 0.6), 0.14 * scale)
        else:
            fill(quad, mix(frame, scene.haze, sight.air))
            truss = mix(dark, scene.haze, sight.air)
            line(between(quad[0], quad[3], 0.5), between(quad[1], quad[2], 0.5), truss, 0.4 * scale)
            for part in (0.14, 0.38, 0.62, 0.86):
                line(between(quad[0], quad[1], part), between(quad[3], quad[2], part), truss, 0.2 * scale)
            line(quad[0], quad[1], edge, 0.3 * scale)
        if sight.glint > 0.04:
            reach = 0.026 * scene.height + 9.0 * scale
            sparkle(sheet, (2.0 * (x - left), 2.0 * (y - top)), reach, mix(scene.warm, WHITE, 0.6), sight.glint)
    if behind == len(sights):
        tower(scene, fill)
    image.paste(sheet.reduce(2), box)


def tower(scene: Scene, fill: Fill) -> None:
    """A tapering shaft, brighter on the sun's side, with the receiver near its top."""
    shade = mix(mix(scene.ground, (24, 24, 58), 0.7), scene.haze, 0.12)
    light = mix(shade, scene.warm, 0.12 + 0.5 * scene.day)
    heat = ramp(HEAT, scene.power)

    def band(low: float, high: float, wide_low: float, wide_high: float, left: Colour, right: Colour) -> None:
        for part in range(14):
            a, b = part / 7 - 1.0, min(1.0, (part + 1.2) / 7 - 1.0)
            points = [(a * wide_high, high), (b * wide_high, high), (b * wide_low, low), (a * wide_low, low)]
            fill([scene.eye.place((x, 0.0, z))[:2] for x, z in points], mix(left, right, (part / 13) ** 0.7))

    band(0.0, 128.0, 5.2, 2.7, light, shade)
    band(143.2, 150.0, 0.3, 0.15, light, shade)
    band(128.6, 141.5, 3.3, 3.3, mix(heat, light, 0.1), mix(heat, shade, 0.3 * (1.0 - scene.power)))
    band(127.4, 128.8, 4.0, 4.0, light, shade)
    band(141.4, 143.2, 4.0, 4.0, light, shade)


def light_up(image: Image.Image, scene: Scene) -> None:
    """Lays all light in the air over the image: the soft part is painted at half size and enlarged."""
    unit = scene.height / 720
    goal, power = scene.eye.place(RECEIVER)[:2], scene.power
    sun, day = scene.sun_place, scene.day
    soft = beams(scene, unit).filter(ImageFilter.BoxBlur(0.8 * unit))
    for (x, y), radius, strength, steep in (
        (goal, 300, 0.60 * power, 3.2),
        (goal, 90, 0.85 * power, 2.2),
        (sun, 300, 0.50 * day, 3.0),
        (sun, 70, 0.90 * day, 2.0),
    ):
        glow(soft, (x / 2, y / 2), (radius * unit, radius * unit), 255, strength, steep)
    tint = Image.new("RGB", image.size, mix(scene.warm, WHITE, 0.1 + 0.04 * scene.second))
    image.paste(tint, (0, 0), soft.resize(image.size, Image.Resampling.BILINEAR))
    for centre, wide, tall, strength, steep in (
        (goal, 64, 60, min(1.0, 1.3 * power), 1.9),
        (goal, 32, 36, min(1.0, 1.6 * power), 1.0),
        (goal, 460, 4.0, 0.85 * power, 2.0),
        (goal, 3.0, 150, 0.5 * power, 2.0),
        (sun, 46, 46, 0.9 * day, 1.6),
        (sun, 460, 3.0, 0.45 * day, 2.2),
    ):
        glow(image, centre, (wide * unit, tall * unit), WHITE, strength, steep)


def beams(scene: Scene, unit: float) -> Image.Image:
    """The mirrors' beams, fading away from the receiver, and the mirrors that dazzle, at half size."""
    size = (scene.width // 2, scene.height // 2)
    layer = Image.new("RGB", size)
    draw = ImageDraw.Draw(layer, "RGBA")
    goal_x, goal_y, scale = (value / 2 for value in scene.eye.place(RECEIVER))
    for sight in scene.sights:
        if sight.lit > 0.02:
            x, y, wide = sight.centre[0] / 2, sight.centre[1] / 2, 0.22 * sight.scale
            hit = goal_x + scale * 2.4 * math.sin(37.0 * sight.mirror.pace)
            rise = goal_y + scale * 4.5 * math.sin(91.0 * sight.mirror.start)
            ends = [(x - wide, y), (x + wide, y), (hit + 0.5, rise), (hit - 0.5, rise)]
            draw.polygon(ends, fill=(255, 255, 255, round(36 * sight.lit)))
    soft = layer.convert("L")
    fade = Image.new("L", size, 44)
    glow(fade, (goal_x, goal_y), (420 * unit, 360 * unit), 255, 1.0, 1.0)
    soft = ImageChops.multiply(soft, fade)
    draw = ImageDraw.Draw(soft)
    for sight in scene.sights:
        if sight.face and min(sight.face) > 150:
            draw.polygon([(x / 2, y / 2) for x, y in sight.quad], fill=2 * (min(sight.face) - 150))
    if scene.sights:
        tower(scene, lambda points, _: draw.polygon([(x / 2, y / 2) for x, y in points], fill=0))
    return soft
