"""The place and its geometry: where the mirrors stand, where the sun is, how a heliostat turns, what a camera sees.

Right-handed world in metres: x to the right, y away from the viewer, z up; the tower stands at the origin. Every
function of time takes seconds from the start of the film and keeps no state.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache

Vec = tuple[float, float, float]

SECONDS = 10.0
"""Length of the film."""
RECEIVER: Vec = (0.0, 0.0, 135.0)
"""Where every mirror sends its light: the middle of the glowing cylinder on the tower."""
PIVOT = 6.5
"""Height of a mirror's centre above the ground."""
RINGS = tuple(50.0 + 16.0 * ring + 0.75 * ring * (ring - 1) for ring in range(16))
"""Radii of the rings of mirrors around the tower."""
RIDGE = 1.5
"""Elevation, in degrees, of the sun's middle at which hills hide half of its disc."""


def dot(a: Vec, b: Vec) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(v: Vec) -> Vec:
    length = math.sqrt(dot(v, v))
    return (v[0] / length, v[1] / length, v[2] / length)


def toward(start: Vec, end: Vec) -> Vec:
    """The unit vector from one point to another."""
    return unit((end[0] - start[0], end[1] - start[1], end[2] - start[2]))


def reflect(ray: Vec, normal: Vec) -> Vec:
    """Where light travelling along `ray` goes after a mirror with that unit normal."""
    k = 2.0 * dot(ray, normal)
    return (ray[0] - k * normal[0], ray[1] - k * normal[1], ray[2] - k * normal[2])


def ease(start: float, end: float, value: float) -> float:
    """0 before `start`, 1 after `end`, smooth between."""
    x = min(1.0, max(0.0, (value - start) / (end - start)))
    return x * x * (3.0 - 2.0 * x)


def sun_angles(second: float) -> tuple[float, float]:
    """Azimuth from the y axis (to the right) and elevation of the sun, in degrees."""
    part = second / SECONDS
    return -31.0 + 6.0 * part**1.4, -3.2 + 19.4 * part**0.95


def sun_direction(second: float) -> Vec:
    """The unit vector toward the sun."""
    azimuth, elevation = (math.radians(angle) for angle in sun_angles(second))
    return (
        math.sin(azimuth) * math.cos(elevation),
        math.cos(azimuth) * math.cos(elevation),
        math.sin(elevation),
    )


def daylight(second: float) -> float:
    """How much of the sun's disc stands above the hills, 0 to 1."""
    return ease(RIDGE - 1.4, RIDGE + 1.6, sun_angles(second)[1])


@dataclass(frozen=True, slots=True)
class Heliostat:
    position: Vec
    start: float
    """The second in which it wakes and begins to turn."""
    pace: float
    """Seconds that it takes to find the sun."""


@cache
def heliostats() -> tuple[Heliostat, ...]:
    """The mirrors that the camera ever sees, far ones first, so that drawing in order lets near ones hide far ones."""
    dice = random.Random(7)
    field: list[Heliostat] = []
    for ring, radius in enumerate(RINGS):
        count = round(2 * math.pi * radius / (15.5 + 0.9 * ring))
        for place in range(count):
            angle = 2 * math.pi * (place + 0.5 * (ring % 2)) / count
            position = (radius * math.sin(angle), radius * math.cos(angle), PIVOT)
            wake, pace = 2.5 + 0.18 * ring + dice.uniform(0.0, 0.4), dice.uniform(1.0, 1.5)
            if position[1] > -130.0 and abs(position[0] + 20.0) < 0.86 * (position[1] + 226.0):
                field.append(Heliostat(position, wake, pace))
    return tuple(sorted(field, key=lambda mirror: -mirror.position[1]))


def aim(position: Vec, sun: Vec) -> Vec:
    """The normal that sends sunlight to the receiver: it halves the angle between the sun and the receiver."""
    tower = toward(position, RECEIVER)
    return unit((sun[0] + tower[0], sun[1] + tower[1], sun[2] + tower[2]))


def turned(mirror: Heliostat, second: float, sun: Vec) -> Vec:
    """The mirror's normal now: flat in the night, then tilting about its axle until it is aimed."""
    goal = aim(mirror.position, sun)
    progress = ease(mirror.start, mirror.start + mirror.pace, second)
    if progress == 1.0:
        return goal
    # Never quite flat, so that the axle's direction stays defined.
    tilt = max(0.001, progress * math.acos(goal[2]))
    across = math.hypot(goal[0], goal[1])
    return (math.sin(tilt) * goal[0] / across, math.sin(tilt) * goal[1] / across, math.cos(tilt))


def on_target(position: Vec, normal: Vec, sun: Vec) -> float:
    """How much of the mirror's light falls on the receiver, 0 to 1, by the angle that it misses by (half at 1.5°)."""
    beam = reflect((-sun[0], -sun[1], -sun[2]), normal)
    miss = math.degrees(math.acos(min(1.0, dot(beam, toward(position, RECEIVER)))))
    return 1.0 - ease(0.0, 3.0, miss)


@dataclass(frozen=True, slots=True)
class Camera:
    """A level camera with a shifted lens, so that upright things stay upright. Lengths of the image are in pixels."""

    eye: Vec
    yaw: float
    focal: float
    centre: float
    horizon: float

    def place(self, point: Vec) -> tuple[float, float, float]:
        """Image x, image y and pixels per metre at a point in front of the camera."""
        x, y = point[0] - self.eye[0], point[1] - self.eye[1]
        scale = self.focal / max(4.0, y + self.yaw * x)
        return self.centre + (x - self.yaw * y) * scale, self.horizon + (self.eye[2] - point[2]) * scale, scale

    def place_direction(self, direction: Vec) -> tuple[float, float]:
        """Image x and y of something infinitely far away."""
        scale = self.focal / (direction[1] + self.yaw * direction[0])
        x = self.centre + (direction[0] - self.yaw * direction[1]) * scale
        return x, self.horizon - direction[2] * scale


def camera(second: float, width: int, height: int) -> Camera:
    """The slow flight: a little forward, up and to the right, turning toward the tower."""
    part = second / SECONDS
    eye = (-16.0 + 26.0 * part, -216.0 + 16.0 * part, 90.0 + 12.0 * part)
    return Camera(eye, yaw=0.0 + 0.02 * part, focal=0.62 * width, centre=0.5 * width, horizon=0.42 * height)
