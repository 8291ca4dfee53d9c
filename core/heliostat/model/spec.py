"""What is to be rendered: one film, cut into chunks. Frozen records in the form that the JSON has."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from msgspec import Struct, field


class Metadata(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """The film as a whole."""

    total_frames: int
    """Frames in all chunks together."""
    fps: Fraction
    """Frames a second; exact, so that 30000/1001 stays 30000/1001."""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""
    duration: float | None = None
    """Seconds."""
    ranges: str | None = None
    """The frames' numbers, such as `1-240:2,300`, when they are not one run without gaps."""


class Chunk(
    Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """A run of frames that one command renders; the unit of dispatch."""

    id: int | str
    start_frame: int
    """The first frame."""
    frame_count: int
    """How many frames; the last one is `start_frame + (frame_count - 1) * step`."""
    output_file: str
    """Where the output belongs: relative to the job directory, or absolute inside it."""
    command: str | tuple[str, ...]
    """An argument list, or a string that is split into one as a POSIX shell splits words."""
    step: int = 1
    """The distance between one frame and the next."""


class Merge(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """How the chunk outputs are joined: by a registered stitcher."""

    stitcher: str
    """The name under which the stitcher was registered."""
    output: str
    """The film, relative to the job directory or absolute inside it."""
    options: dict[str, Any] = field(default_factory=dict)
    """What the stitcher's options type accepts."""


class JobSpec(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """One film to make. `load_spec` makes one from a file; in Python it is built directly."""

    metadata: Metadata
    chunks: tuple[Chunk, ...]
    id: str | None = None
    """The job's id; made up at submission when absent."""
    name: str = ""
    merge_command: str | None = None
    """A command that joins the chunk outputs, run in the job directory."""
    merge: Merge | None = None
    """A registered stitcher that joins them."""
    assets_url: str | None = None
    """Where a worker that is not on this machine finds the inputs."""
    inputs: tuple[str, ...] = ()
    """Files that the commands read, as patterns relative to the job directory (`scene.blend`, `fonts`, `textures/**`).
    Workers that do not share that directory are sent these, and nothing else of it."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment variables that every command gets."""
    progress: str | None = None
    """A regular expression for lines of output that tell frames done: its group `frames`, or else its first group."""


def has_name(spec: JobSpec, part: str) -> bool:
    """Whether `part` is in the job's name, whatever the case of its letters."""
    return part.casefold() in spec.name.casefold()


def to_fraction(value: object) -> Fraction:
    """A frame rate as people write it (`24`, `23.976`, `"30000/1001"`) as the exact rate that is meant.

    The broadcast rates are customarily written with two or three decimals; those spellings mean n * 1000/1001
    (SMPTE ST 12-1). Any other decimal number within 10**-9 of a simple fraction means that fraction, which is what
    30000/1001 becomes when it is divided out. Raises ValueError for what is no rate from 1/1000000 to 1000000.
    """
    expected = 'expected a frame rate such as 24, 23.976 or "30000/1001"'
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction):
        raise ValueError(expected)
    if isinstance(value, str) and not re.fullmatch(r"\s*[0-9]{1,20}(\.[0-9]{0,20}|/[0-9]{1,20})?\s*", value):
        raise ValueError(f"{expected}, got {value[:40]!r}")
    try:
        rate = Fraction(str(value).strip())
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{expected}, got {str(value)[:40]!r}") from None
    if rate <= 0:
        raise ValueError(f"a frame rate must be above 0, got {value}")
    if not _SLOWEST <= rate <= _FASTEST:
        raise ValueError("a frame rate must be from 1/1000000 to 1000000 frames a second")
    if isinstance(value, Fraction) or (isinstance(value, str) and "/" in value):
        return rate
    rate = _BROADCAST_RATES.get(rate, rate)
    simple = rate.limit_denominator(1001)
    return simple if abs(simple - rate) * 10**9 <= rate else rate


_SLOWEST, _FASTEST = Fraction(1, 10**6), Fraction(10**6)

_BROADCAST_RATES = {
    Fraction(written): Fraction(nominal * 1000, 1001)
    for nominal, spellings in {
        24: ("23.976", "23.98"),
        30: ("29.97",),
        60: ("59.94",),
        120: ("119.88",),
    }.items()
    for written in spellings
}


def fraction_to_json(rate: Fraction) -> int | str:
    """The form of a frame rate in JSON: a whole number where it is one, else `"30000/1001"`."""
    return rate.numerator if rate.denominator == 1 else f"{rate.numerator}/{rate.denominator}"
