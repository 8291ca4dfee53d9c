"""The short form of a job: frames, how to cut them, and one command with placeholders for all chunks.

Keys are in camelCase in TOML, YAML and JSON alike. Placeholders, in `command` and in `output`:

    {start} {end}      first and last frame of the chunk, both inclusive
    {count} {step}     how many frames, and the distance between them
    {chunk}            the chunk's index, from 0
    {fps}              24 or 30000/1001; {fps:.3f} gives 29.970
    {width} {height}   as the document says
    {start_time}       start / fps: the time of the first frame, in seconds, frame 0 being at 0
    {duration}         count / fps: how long the chunk's frames are shown, in seconds
    {output}           the chunk's output, as `output` makes it; only in `command`

Formats are those of Python: `{chunk:04d}`, `{start_time:.3f}`. `{{` and `}}` stand for braces.

A worker writes every output under an attempt's own name first. It finds the output in the command as an argument of
its own or after `=` (`--output {output}`, `of={output}`), so `{output}` should stand in one of these places. An output
that ends with `/` is a folder of files.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from msgspec import Meta, Struct, field

from heliostat.errors import SpecError
from heliostat.model.command import split_command
from heliostat.model.spec import Chunk, JobSpec, Merge, Metadata
from heliostat.planning.frames import LARGEST, Run, cut, parse_ranges
from heliostat.planning.template import Rate, Template, filler, seconds

MOST_CHUNKS = 10_000_000


class ShortForm(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """What a document in the short form says."""

    frames: Annotated[
        int | str,
        Meta(description='A count (240 is frames 0 to 239), or ranges such as "1-240:2,300": from-to:step, inclusive.'),
    ]
    fps: Fraction
    output: Annotated[str, Meta(description="Where a chunk's output belongs, with placeholders.")]
    command: Annotated[
        str | tuple[str, ...],
        Meta(description="The command of a chunk, with placeholders: a list, or a string in a POSIX shell's words."),
    ]
    width: int | None = None
    height: int | None = None
    chunk_size: Annotated[int | None, Meta(description="At most so many frames in a chunk; sizes are balanced.")] = None
    chunk_count: Annotated[int | None, Meta(description="So many chunks; sizes are balanced.")] = None
    name: str = ""
    id: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    progress: Annotated[
        str | None, Meta(description="A regular expression for lines of output that tell frames done.")
    ] = None
    assets_url: str | None = None
    inputs: Annotated[
        tuple[str, ...],
        Meta(description="Files that the commands read, for workers elsewhere: patterns such as textures/**."),
    ] = ()
    merge: Merge | None = None
    merge_command: str | None = None


def expand(form: ShortForm) -> JobSpec:
    """The job that a short form stands for. Raises SpecError with the path of what is wrong."""
    runs = _runs(form.frames)
    ranges = None if len(runs) == 1 and runs[0].step == 1 else ",".join(map(str, runs))
    total = sum(run.count for run in runs)
    return JobSpec(
        id=form.id,
        name=form.name,
        metadata=Metadata(
            total_frames=total,
            fps=form.fps,
            width=form.width,
            height=form.height,
            duration=float(total / form.fps),
            ranges=ranges,
        ),
        chunks=tuple(_chunks(form, _cut(form, runs, total))),
        merge=form.merge,
        merge_command=form.merge_command,
        assets_url=form.assets_url,
        inputs=form.inputs,
        env=form.env,
        progress=form.progress,
    )


def _runs(frames: int | str) -> list[Run]:
    if isinstance(frames, int):
        if frames < 1:
            raise SpecError(f"a film has at least 1 frame, got {frames}", path="$.frames")
        if frames >= LARGEST:
            raise SpecError("must be below 10**15", path="$.frames")
        return [Run(0, frames)]
    try:
        return parse_ranges(frames)
    except ValueError as error:
        raise SpecError(str(error), path="$.frames") from None


def _cut(form: ShortForm, runs: list[Run], total: int) -> Iterator[Run]:
    """By default chunks of at most ten seconds, and at least sixteen chunks where there are as many frames."""
    size, count = form.chunk_size, form.chunk_count
    for key, value in (("chunkSize", size), ("chunkCount", count)):
        if value is not None and value < 1:
            raise SpecError(f"must be 1 or more, got {value}", path=f"$.{key}")
    if size is not None and count is not None:
        raise SpecError("say chunkSize or chunkCount, not both", path="$.chunkCount")
    if size is None and count is None:
        size = max(1, min(math.floor(10 * form.fps), -(-total // 16)))
    wanted = count or sum(-(-run.count // (size or 1)) for run in runs)
    if wanted > MOST_CHUNKS:
        key = "chunkCount" if count else "chunkSize"
        raise SpecError(
            f"makes {wanted} chunks, and a job has at most {MOST_CHUNKS}; make them larger", path=f"$.{key}"
        )
    try:
        return cut(runs, size=size, count=count)
    except ValueError as error:
        raise SpecError(str(error), path="$.chunkCount") from None


def _chunks(form: ShortForm, runs: Iterator[Run]) -> Iterator[Chunk]:
    known = _known(form)
    arguments = list(_arguments(form, known))
    del known["output"]
    output = _template(form.output, known, "$.output")
    if output.names.isdisjoint({"chunk", "start", "end", "start_time"}):
        runs = _only_one(runs)
    used = output.names.union(*(each.names for each in arguments))
    constants = {"fps": known["fps"], "width": form.width, "height": form.height}
    for template in (output, *arguments):
        template.bind(constants)
    output_of, command_of = output.for_format(_ORDER).format, filler(arguments, _ORDER)
    rate, per = form.fps.numerator, form.fps.denominator
    values: list[object]
    for index, run in enumerate(runs):
        start, count, step = run.start, run.count, run.step
        values = [index, start, start + (count - 1) * step, count, step, None, None, None, None, None]
        if "start_time" in used:
            values[5:7] = seconds(start * per, rate), Decimal(start * per) / rate
        if "duration" in used:
            values[7:9] = seconds(count * per, rate), Decimal(count * per) / rate
        values[9] = output_file = output_of(*values)
        yield Chunk(
            id=index,
            start_frame=start,
            frame_count=count,
            output_file=output_file,
            command=command_of(values),
            step=step,
        )


_ORDER = {
    name: number
    for number, name in enumerate(
        [
            *("chunk", "start", "end", "count", "step"),
            *("start_time as text", "start_time", "duration as text", "duration", "output"),
        ]
    )
}


def _only_one(runs: Iterator[Run]) -> Iterator[Run]:
    first, *others = itertools.islice(runs, 2)
    if others:
        raise SpecError("all chunks would have the same output; put {chunk} into it", path="$.output")
    return iter([first])


def _known(form: ShortForm) -> dict[str, object]:
    """The placeholders, each with a value of its kind."""
    number, time = 1, Decimal(1)
    return {
        "start": number,
        "end": number,
        "count": number,
        "step": number,
        "chunk": number,
        "fps": Rate(form.fps),
        "width": form.width,
        "height": form.height,
        "start_time": time,
        "duration": time,
        "output": "output",
    }


def _arguments(form: ShortForm, known: Mapping[str, object]) -> Iterator[Template]:
    try:
        arguments = split_command(form.command)
    except ValueError as error:
        raise SpecError(str(error), path="$.command") from None
    if not arguments or not arguments[0]:
        raise SpecError("the command is empty", path="$.command")
    for index, argument in enumerate(arguments):
        yield _template(argument, known, "$.command" if isinstance(form.command, str) else f"$.command[{index}]")


def _template(text: str, known: Mapping[str, object], path: str) -> Template:
    try:
        template = Template(text, {name: 1 if value is None else value for name, value in known.items()})
    except ValueError as error:
        raise SpecError(str(error), path=path) from None
    for key in template.names:
        if known[key] is None:
            raise SpecError(f"{{{key}}} needs the key {key!r} in the document", path=path)
    return template
