"""What all painters of one frame share: the sun, the colours of the hour, the mirrors as the camera sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from brush import Colour, Point, mix, ramp
from field import (
    PIVOT,
    Heliostat,
    Vec,
    camera,
    daylight,
    dot,
    ease,
    heliostats,
    on_target,
    reflect,
    sun_direction,
    toward,
    turned,
)

ELEVATIONS = (0.0, 3.0, 8.0, 16.0, 45.0)
"""Degrees above the horizon that the first five colours of a palette row belong to."""
PALETTE = {
    0.0: "b8604c 74466a 363874 1a2254 0a1034  3c2f58 14162a",
    1.9: "ff9a55 d96f6a 7d528c 343a7c 161e54  c4586a 221c2e",
    3.4: "ffc172 ff9462 d0728e 6a5ca4 2a3880  ff9c78 3c2a32",
    6.0: "ffd894 ffbd88 eaa0a4 8c8cc4 3858a4  ffd8b0 563c38",
    10.0: "fff0cc f4dcc0 b0cae6 669ee0 2460b4  fff4e4 86623e",
}
"""Second of the film: five colours of the sky from the horizon up, then clouds and ground."""
SUNLIGHT = ((0.0, (255, 96, 40)), (3.4, (255, 160, 80)), (6.0, (255, 204, 132)), (10.0, (255, 228, 178)))
WHITE = (255, 251, 240)
MIRROR = (5.4, 4.3)
"""Half the width and half the height of a mirror, in metres."""


def palette(second: float) -> list[Colour]:
    rows: list[tuple[float, list[Colour]]] = []
    for key, words in PALETTE.items():
        values = [bytes.fromhex(word) for word in words.split()]
        rows.append((key, [(value[0], value[1], value[2]) for value in values]))
    return [ramp([(key, colours[column]) for key, colours in rows], second) for column in range(7)]


def corners(place: Vec, normal: Vec) -> tuple[Vec, Vec, Vec, Vec]:
    """The corners of a mirror, the ends of its upper edge first; its axle is level."""
    across = math.hypot(normal[0], normal[1])
    ux, uy = -normal[1] / across * MIRROR[0], normal[0] / across * MIRROR[0]
    k = MIRROR[1] * normal[2] / across
    vx, vy, vz = -normal[0] * k, -normal[1] * k, across * MIRROR[1]
    x, y, z = place
    return (
        (x + vx - ux, y + vy - uy, z + vz),
        (x + vx + ux, y + vy + uy, z + vz),
        (x - vx + ux, y - vy + uy, z - vz),
        (x - vx - ux, y - vy - uy, z - vz),
    )


@dataclass(frozen=True, slots=True)
class Sight:
    """A mirror as the camera sees it; image lengths are in pixels of the finished picture."""

    mirror: Heliostat
    centre: Point
    foot: Point
    quad: list[Point]
    corners: tuple[Vec, Vec, Vec, Vec]
    scale: float
    """Pixels per metre at its distance."""
    air: float
    """How much of it the haze hides, 0 to 1."""
    face: Colour | None
    """What its glass shows; None when its back is turned to the camera."""
    glint: float
    """How brightly it flashes, as its beam finds the receiver or as it shows the sun to the camera, 0 to 1."""
    lit: float
    """How much of its light falls on the receiver, 0 to 1."""


class Scene:
    def __init__(self, second: float, width: int, height: int) -> None:
        self.second, self.width, self.height = second, width, height
        self.sun = sun_direction(second)
        self.day = daylight(second)
        *sky, self.cloud, self.ground = palette(second)
        self.haze = mix(sky[0], sky[1], 0.6)
        self.warm = ramp(SUNLIGHT, second)
        stops = list(zip(ELEVATIONS, sky, strict=True))
        self.sky = [ramp(stops, step / 2) for step in range(92)]
        self.eye = camera(second, width, height)
        self.sun_place = self.eye.place_direction(self.sun)
        self.sights: list[Sight] = []
        power = 0.0
        for mirror in heliostats():
            normal = turned(mirror, second, self.sun)
            lit = self.day * on_target(mirror.position, normal, self.sun)
            power += lit
            sight = self._sight(mirror, normal, lit)
            if sight:
                self.sights.append(sight)
        self.power = power / len(heliostats())
        """How much of the whole field's light the receiver gets, 0 to 1."""

    def _sight(self, mirror: Heliostat, normal: Vec, lit: float) -> Sight | None:
        x, y, scale = self.eye.place(mirror.position)
        if not -7 * scale < x < self.width + 7 * scale or y > self.height + 7 * scale:
            return None
        ray = toward(self.eye.eye, mirror.position)
        air = 1.0 - math.exp(-math.dist(mirror.position, self.eye.eye) / 1400)
        face, glint = None, lit * math.exp(-(((self.second - mirror.start - mirror.pace) / 0.2) ** 2))
        if dot(ray, normal) < 0.0:
            shown = reflect(ray, normal)
            face = mix(mix(self.seen_along(shown), WHITE, 0.3 * lit), self.haze, 0.5 * air)
            glint = max(glint, self.day * ease(0.9982, 0.9999, dot(shown, self.sun)))
        points = corners(mirror.position, normal)
        quad = [self.eye.place(corner)[:2] for corner in points]
        return Sight(mirror, (x, y), (x, y + PIVOT * scale), quad, points, scale, air, face, glint, lit)

    def seen_along(self, ray: Vec) -> Colour:
        """The colour of the sky (or of the ground) in a direction: what a mirror shows."""
        if ray[2] < 0.0:
            return mix(self.haze, self.ground, min(1.0, -ray[2] * 6.0))
        colour = self.sky[int(min(45.0, math.degrees(math.asin(ray[2]))) * 2)]
        near = max(0.0, dot(ray, self.sun))
        colour = mix(colour, self.warm, (0.55 * near**12 + 0.45 * near**120) * (0.35 + 0.65 * self.day))
        return mix(colour, WHITE, self.day * ease(0.975, 0.998, near))
