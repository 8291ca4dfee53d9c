"""What a job must be like before anything of it runs. For specs from files and for those built in Python."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from heliostat.errors import SpecError
from heliostat.model.command import is_plain, split_command
from heliostat.model.spec import Chunk, JobSpec
from heliostat.planning.frames import LARGEST, Run, parse_ranges

_ID = re.compile(r"[^\x00-\x20/\\\x7f]{1,128}")


def validate(spec: JobSpec, *, job_dir: str | os.PathLike[str] | None = None) -> None:
    """Raises SpecError, with the path in the document, for the first thing that is wrong.

    Without `job_dir` the places of outputs are not checked; `check_outputs` does that alone."""
    check_job(spec)
    _check_chunks(spec.chunks)
    _check_ids(spec.chunks)
    _check_frames(spec)
    if job_dir is not None:
        check_outputs(spec, job_dir)


def check_outputs(spec: JobSpec, job_dir: str | os.PathLike[str]) -> None:
    """Raises SpecError for an output outside of `job_dir`, and for one that two chunks, or a chunk and the film,
    share. The disk is not looked at."""
    inside = _Inside(job_dir)
    outputs = [chunk.output_file for chunk in spec.chunks]
    names = inside.plain_names(outputs) or [inside.name(output, index) for index, output in enumerate(outputs)]
    different = set(names)
    if len(different) < len(names):
        first: dict[str, int] = {}
        for index, name in enumerate(names):
            if (other := first.setdefault(name, index)) != index:
                raise SpecError(f"{outputs[index]!r} is the output of $.chunks[{other}] too", path=_output_path(index))
    if spec.merge is not None and (film := inside.name(spec.merge.output)) in different:
        other = names.index(film)
        raise SpecError(f"{spec.merge.output!r} is the output of $.chunks[{other}] too", path="$.merge.output")


def _output_path(index: int | None) -> str:
    return "$.merge.output" if index is None else f"$.chunks[{index}].outputFile"


class _Inside:
    """Names outputs relative to the job directory, and refuses those outside of it."""

    def __init__(self, job_dir: str | os.PathLike[str]) -> None:
        self.job_dir = os.path.abspath(job_dir)
        # An absolute path may be spelt with or without the symbolic links that lead to the directory.
        self.roots = tuple(dict.fromkeys(_with_slash(p) for p in (self.job_dir, str(Path(job_dir).resolve()))))

    def plain_names(self, outputs: Sequence[str]) -> list[str] | None:
        """What `name` makes of all of them, in a tenth of the time, or None when one of them needs a closer look."""
        text = "\0".join(["", *outputs, ""])
        if text.count("\0") != len(outputs) + 1 or any(odd in text for odd in ("/.", "//", "\0.", "/\0", "\0\0")):
            return None
        if "\0/" not in text:
            return list(outputs)
        for root in self.roots:
            if text.count(f"\0{root}") == len(outputs):
                return [output[len(root) :] for output in outputs]
        return None

    def name(self, output: str, chunk: int | None = None) -> str:
        """The output of a chunk, or the film, relative to the job directory and spelt in one way only."""
        path = _output_path(chunk)
        if not output:
            raise SpecError("the name of the output is empty", path=path)
        if "\0" in output:
            raise SpecError("a file name cannot hold the character NUL", path=path)
        if chunk is None and output.endswith("/"):
            raise SpecError(f"{output!r} is a folder; name a file", path=path)
        name = os.path.normpath(output)
        if name.startswith("/"):
            root = next((root for root in self.roots if name.startswith(root)), None)
            if root is None:
                raise SpecError(
                    f"{output!r} is outside of the job directory {self.job_dir!r}; name a directory that holds all"
                    " outputs with --job-dir",
                    path=path,
                )
            return name[len(root) :]
        if name in (".", "..") or name.startswith("../"):
            raise SpecError(f"{output!r} is not inside the job directory; name a file inside it", path=path)
        return name


def _with_slash(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"


def check_job(spec: JobSpec) -> None:
    """Raises SpecError for what is wrong outside of the list of chunks."""
    metadata = spec.metadata
    if spec.id is not None and (not _ID.fullmatch(spec.id) or spec.id in (".", "..")):
        raise SpecError("a job's id is 1 to 128 characters without blanks and slashes", path="$.id")
    if not 0 <= metadata.total_frames < LARGEST:
        raise SpecError(_out_of_range(metadata.total_frames, 0), path="$.metadata.totalFrames")
    if metadata.fps <= 0:
        raise SpecError(f"a frame rate must be above 0, got {metadata.fps}", path="$.metadata.fps")
    for key in ("width", "height"):
        pixels = getattr(metadata, key)
        if pixels is not None and not 1 <= pixels < LARGEST:
            raise SpecError(_out_of_range(pixels, 1), path=f"$.metadata.{key}")
    if metadata.duration is not None and not (math.isfinite(metadata.duration) and metadata.duration >= 0):
        raise SpecError(f"a duration is 0 seconds or more, got {metadata.duration}", path="$.metadata.duration")
    for name, value in spec.env.items():
        if not name or "=" in name or "\0" in name + value:
            raise SpecError(f"{name!r} cannot be an environment variable", path="$.env")
    for index, pattern in enumerate(spec.inputs):
        parts = pattern.split("/")
        if not pattern or pattern.startswith("/") or ".." in parts or "\0" in pattern:
            raise SpecError(
                f"{pattern!r} is not inside the job directory; give a path or pattern relative to it",
                path=f"$.inputs[{index}]",
            )
    if spec.progress is not None:
        _check_progress(spec.progress)
    if spec.merge is not None and spec.merge_command is not None:
        raise SpecError("a job has merge or mergeCommand, not both", path="$.mergeCommand")
    if spec.merge_command is not None:
        _check_command(spec.merge_command, "$.mergeCommand")
    if spec.merge is not None and not spec.merge.stitcher:
        raise SpecError("the name of the stitcher is empty", path="$.merge.stitcher")


def _check_progress(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except (re.error, RecursionError, OverflowError) as error:
        raise SpecError(f"not a regular expression: {error}", path="$.progress") from None
    if not groups:
        raise SpecError(r"needs a group that holds the frames done, such as 'frame (\d+)'", path="$.progress")


def _check_command(command: str | Sequence[str], path: str) -> None:
    try:
        arguments = split_command(command)
    except ValueError as error:
        raise SpecError(str(error), path=path) from None
    if not arguments or not arguments[0]:
        raise SpecError("the command is empty", path=path)
    if "\0" in "".join(arguments):
        raise SpecError("a command cannot hold the character NUL", path=path)


def _check_chunks(chunks: Sequence[Chunk]) -> None:
    if _are_fine_at_a_glance(chunks):
        return
    for index, chunk in enumerate(chunks):
        for key, value, least in (
            ("startFrame", chunk.start_frame, 0),
            ("frameCount", chunk.frame_count, 1),
            ("step", chunk.step, 1),
        ):
            if not least <= value < LARGEST:
                raise SpecError(_out_of_range(value, least), path=f"$.chunks[{index}].{key}")
        _check_command(chunk.command, f"$.chunks[{index}].command")


def _are_fine_at_a_glance(chunks: Sequence[Chunk]) -> bool:
    """Whether nothing is wrong with the numbers and commands of all chunks. A million of them are looked at as one;
    a command that is not plain makes this False."""
    starts = [chunk.start_frame for chunk in chunks]
    least = [number for chunk in chunks for number in (chunk.frame_count, chunk.step)]
    if not chunks or min(starts) < 0 or min(least) < 1 or max(max(starts), max(least)) >= LARGEST:
        return False
    texts = [chunk.command for chunk in chunks if isinstance(chunk.command, str)]
    lists = [chunk.command for chunk in chunks if not isinstance(chunk.command, str)]
    return (
        is_plain(" ".join(texts))
        and not any(text.isspace() or not text for text in texts)
        and all(arguments and arguments[0] for arguments in lists)
        and not any("\0" in argument for arguments in lists for argument in arguments)
    )


def _out_of_range(value: int, least: int) -> str:
    if value < least:
        return f"must be {least} or more, got {value}"
    return f"must be below 10**15, got {value if value < 10**30 else 'far more'}"


def _check_ids(chunks: Sequence[Chunk]) -> None:
    ids = [chunk.id for chunk in chunks]
    if {type(id) for id in ids} <= {int} and len(set(ids)) == len(ids):
        return
    seen: dict[str, int] = {}
    for index, chunk in enumerate(chunks):
        path = f"$.chunks[{index}].id"
        if chunk.id == "":
            raise SpecError("a chunk's id cannot be empty", path=path)
        if (other := seen.setdefault(str(chunk.id), index)) != index:
            raise SpecError(f"{chunk.id!r} is the id of $.chunks[{other}] too; ids are unique as text", path=path)


def _check_frames(spec: JobSpec) -> None:
    """Every frame is in one chunk: of the ranges that the metadata name, or else of one run without gaps."""
    if spec.metadata.ranges is not None:
        _check_ranges(spec, spec.metadata.ranges)
        return
    chunks = spec.chunks
    order = sorted(range(len(chunks)), key=lambda index: chunks[index].start_frame)
    following = chunks[order[0]].start_frame if order else 0
    before = -1
    for index in order:
        chunk = chunks[index]
        path = f"$.chunks[{index}].startFrame"
        if chunk.step != 1 and chunk.frame_count > 1:
            raise SpecError("a step other than 1 needs $.metadata.ranges", path=f"$.chunks[{index}].step")
        if chunk.start_frame < following:
            raise SpecError(f"frame {chunk.start_frame} is in $.chunks[{before}] too", path=path)
        if chunk.start_frame > following:
            missing = _span(following, chunk.start_frame - 1)
            raise SpecError(f"{missing} in no chunk, between $.chunks[{before}] and this one", path=path)
        following += chunk.frame_count
        before = index
    _check_total(spec)


def _check_ranges(spec: JobSpec, ranges: str) -> None:
    try:
        runs = parse_ranges(ranges)
    except ValueError as error:
        raise SpecError(str(error), path="$.metadata.ranges") from None
    starting: dict[int, int] = {}
    for index, chunk in enumerate(spec.chunks):
        if (other := starting.setdefault(chunk.start_frame, index)) != index:
            raise SpecError(
                f"frame {chunk.start_frame} is in $.chunks[{other}] too", path=f"$.chunks[{index}].startFrame"
            )
    for run in runs:
        _take_run(spec.chunks, run, starting)
    if starting:
        start, index = next(iter(starting.items()))
        raise SpecError(
            f"no chunk of $.metadata.ranges begins with frame {start}", path=f"$.chunks[{index}].startFrame"
        )
    _check_total(spec)


def _take_run(chunks: Sequence[Chunk], run: Run, starting: dict[int, int]) -> None:
    """Take out of `starting` (first frame to index) the chunks that make up one run."""
    frame, left = run.start, run.count
    while left:
        index = starting.pop(frame, None)
        if index is None:
            raise SpecError(f"frame {frame} of $.metadata.ranges is in no chunk", path="$.chunks")
        chunk = chunks[index]
        if chunk.frame_count > 1 and chunk.step != run.step:
            raise SpecError(f"must be {run.step} as in the range {run}", path=f"$.chunks[{index}].step")
        if chunk.frame_count > left:
            raise SpecError(
                f"must be {left} or less, to end within the range {run}", path=f"$.chunks[{index}].frameCount"
            )
        frame += chunk.frame_count * run.step
        left -= chunk.frame_count


def _check_total(spec: JobSpec) -> None:
    total = sum(chunk.frame_count for chunk in spec.chunks)
    if total < spec.metadata.total_frames:
        raise SpecError(
            f"the chunks hold {total} of {spec.metadata.total_frames} frames", path="$.metadata.totalFrames"
        )
    if total > spec.metadata.total_frames:
        raise SpecError(f"is {spec.metadata.total_frames}, and the chunks hold {total}", path="$.metadata.totalFrames")


def _span(first: int, last: int) -> str:
    return f"frame {first} is" if first == last else f"frames {first} to {last} are"
