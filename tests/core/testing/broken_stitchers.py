"""A stitcher of films that are text, and others that break one promise each, run by the contract suite in a process of
its own (see test_stitcher.py).

A film is a line with its number of frames, then a line for each frame.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import msgspec
import pytest

from heliostat import Output, Stitcher, StitchRequest
from heliostat.errors import StitchFailed
from heliostat.testing import StitcherContract, StitcherUnderTest


def make_part(path: Path, start: int, count: int) -> None:
    path.write_text("".join([f"{count} frames\n", *(f"frame {number}\n" for number in range(start, start + count))]))


async def frames_of(path: Path) -> list[str]:
    head, *frames = path.read_text().splitlines()
    if head != f"{len(frames)} frames":
        raise ValueError(f"{path} has {len(frames)} frames; its first line is {head!r}")
    return frames


class TextStitcher(Stitcher):
    async def stitch(self, request: StitchRequest) -> Output:
        frames = []
        for part in self.parts(request):
            await asyncio.sleep(0)
            frames += await self.read(Path(request.job_dir, part))
        if not frames:
            raise StitchFailed("there are no parts to join")
        film = Path(request.job_dir, request.output)
        film.parent.mkdir(parents=True, exist_ok=True)
        await self.write(film, [f"{len(frames)} frames", *frames])
        content = film.read_bytes()
        return Output(request.output, len(content), hashlib.sha256(content).hexdigest())

    def parts(self, request: StitchRequest) -> tuple[str, ...]:
        return request.parts

    async def read(self, part: Path) -> list[str]:
        try:
            return await frames_of(part)
        except (OSError, ValueError) as error:
            raise StitchFailed(f"the part {part} cannot be read ({error}); render its chunk again") from error

    async def write(self, film: Path, lines: list[str]) -> None:
        unfinished = film.with_name(".unfinished")
        try:
            with unfinished.open("w") as file:
                for line in lines:
                    await asyncio.sleep(0)
                    file.write(line + "\n")
            os.replace(unfinished, film)
        finally:
            unfinished.unlink(missing_ok=True)


class Suite(StitcherContract):
    stitcher: type[Stitcher]

    @pytest.fixture
    def under_test(self) -> StitcherUnderTest:
        return StitcherUnderTest(make=self.stitcher, make_part=make_part, frames_of=frames_of, output="film.txt")


class TestText(Suite):
    stitcher = TextStitcher


class Forgetful(TextStitcher):
    """Leaves the last of several parts out."""

    def parts(self, request: StitchRequest) -> tuple[str, ...]:
        return request.parts[:-1] or request.parts


class TestForgetful(Suite):
    stitcher = Forgetful


class Sorting(TextStitcher):
    """Joins by name."""

    def parts(self, request: StitchRequest) -> tuple[str, ...]:
        return tuple(sorted(request.parts))


class TestSorting(Suite):
    stitcher = Sorting


class Skipping(TextStitcher):
    """Passes over what it cannot read."""

    async def read(self, part: Path) -> list[str]:
        try:
            return await super().read(part)
        except StitchFailed:
            return []


class TestSkipping(Suite):
    stitcher = Skipping


class Vague(TextStitcher):
    """Does not say which part it is."""

    async def read(self, part: Path) -> list[str]:
        try:
            return await super().read(part)
        except StitchFailed:
            raise StitchFailed("a part cannot be read; render its chunk again") from None


class TestVague(Suite):
    stitcher = Vague


class Direct(TextStitcher):
    """Writes where the film belongs."""

    async def write(self, film: Path, lines: list[str]) -> None:
        with film.open("w", buffering=1) as file:
            for line in lines:
                await asyncio.sleep(0.01)
                file.write(line + "\n")


class TestDirect(Suite):
    stitcher = Direct


class Littering(TextStitcher):
    """Cleans up only after itself when all went well."""

    async def stitch(self, request: StitchRequest) -> Output:
        notes = Path(request.job_dir, "notes")
        notes.write_text("joining")
        output = await super().stitch(request)
        notes.unlink()
        return output


class TestLittering(Suite):
    stitcher = Littering


class Boasting(TextStitcher):
    """Tells a size that is not the film's."""

    async def stitch(self, request: StitchRequest) -> Output:
        output = await super().stitch(request)
        return msgspec.structs.replace(output, size=output.size + 1)


class TestBoasting(Suite):
    stitcher = Boasting
