"""The contract of `Stitcher` as a pytest suite, for the author of a stitcher.

```python
class TestMyStitcher(StitcherContract):
    @pytest.fixture
    def under_test(self):
        return StitcherUnderTest(make=MyStitcher, make_part=draw_film, frames_of=digests_of_frames, output="film.mkv")
```

`make_part` draws frames that differ from each other, by their numbers; `frames_of` reads them back without loss.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import itertools
import os
import re
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import pytest

from heliostat.contracts.stitcher import Stitcher, StitchRequest
from heliostat.contracts.worker import ChunkReport, ChunkRequest, WorkerAdapter
from heliostat.errors import JobFailed, StitchFailed
from heliostat.executor.executor import JobExecutor
from heliostat.executor.options import JobExecutionOptions
from heliostat.model.result import ChunkResult, Output
from heliostat.model.spec import Chunk, JobSpec, Merge, Metadata
from heliostat.testing.contract import Contract, asynchronous
from heliostat.testing.interruption import interrupted

T = TypeVar("T")

ODD_NAMES = (
    "a b  c",
    "ü 雪 😀",
    "it's",
    '"quoted"',
    "'",
    "back\\slash",
    "-i",
    "%03d",
    "[a] *?{b}",
    "#1;&|$HOME",
    "a:b,c=d",
)


@dataclass(frozen=True, kw_only=True)
class StitcherUnderTest:
    """A stitcher and what its films are made of. The functions may be coroutine functions too."""

    make: Callable[[], Stitcher]
    make_part: Callable[[Path, int, int], object]
    """`make_part(path, start_frame, frame_count)` writes a part of a film: the frames of these numbers."""
    frames_of: Callable[[Path], Any]
    """`frames_of(path)` reads a film or a part back: a sequence with something for each frame that can be compared."""
    output: str = "film.mp4"
    """A film's name; `make_part` is given names with the same suffix."""
    fps: Fraction = Fraction(24)


class Studio:
    """Draws parts in a job directory, has them joined, and looks at what there is then."""

    def __init__(self, under_test: StitcherUnderTest, job_dir: Path) -> None:
        self.under_test = under_test
        self.job_dir = job_dir
        self.suffix = Path(under_test.output).suffix

    async def draw(self, *parts: tuple[str, int]) -> StitchRequest:
        """Draw parts of these names, without their suffix, and numbers of frames; returns the request to join them."""
        request = self.request(*parts)
        for chunk in request.spec.chunks:
            part = self.job_dir / chunk.output_file
            part.parent.mkdir(parents=True, exist_ok=True)
            await _done(self.under_test.make_part(part, chunk.start_frame, chunk.frame_count))
        return request

    def request(
        self, *parts: tuple[str, int], output: str | None = None, named: Callable[[str], str] = str
    ) -> StitchRequest:
        """`named` gives the path that the request has for a part."""
        output = output or self.under_test.output
        starts = itertools.accumulate((count for _, count in parts), initial=0)
        chunks = tuple(
            Chunk(
                id=index,
                start_frame=start,
                frame_count=count,
                output_file=named(name + self.suffix),
                command=("draw", name),
            )
            for index, ((name, count), start) in enumerate(zip(parts, starts, strict=False))
        )
        spec = JobSpec(
            name="film",
            metadata=Metadata(total_frames=sum(count for _, count in parts), fps=self.under_test.fps),
            chunks=chunks,
            merge=Merge(stitcher="under test", output=output),
        )
        return StitchRequest(
            spec=spec, job_dir=str(self.job_dir), parts=tuple(chunk.output_file for chunk in chunks), output=output
        )

    async def frames(self, *paths: str) -> list[Any]:
        """Of these files, one after the other."""
        frames: list[Any] = []
        for path in paths:
            frames += await _done(self.under_test.frames_of(self.job_dir / path))
        return frames

    async def join(self, request: StitchRequest, stitcher: Stitcher | None = None) -> Output:
        """Join, and see to it that the film holds the parts' frames and is all that is new."""
        wanted = await self.frames(*request.parts)
        assert len(set(map(repr, wanted))) == len(wanted) > 0, "`make_part` draws frames that differ from each other"
        before = self.files()
        output = await (stitcher or self.under_test.make()).stitch(request)
        after = self.files()
        name = os.path.relpath(self.job_dir / request.output, self.job_dir)
        assert after == before | {name: after[name]}
        assert await self.frames(request.output) == wanted
        return output

    def files(self) -> dict[str, str]:
        """The digest of every file in the job directory, by its path in it."""
        return {
            str(path.relative_to(self.job_dir)): _digest(path.read_bytes())
            for path in self.job_dir.rglob("*")
            if path.is_file() or path.is_symlink()
        }

    def processes(self) -> list[str]:
        """Commands that run in the job directory or name it; none where there is no /proc to find them in."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = os.fsdecode((process / "cmdline").read_bytes()).replace("\0", " ")
                place = os.readlink(process / "cwd")
            except OSError:
                continue
            if str(self.job_dir) in command or Path(place).is_relative_to(self.job_dir):
                found.append(command)
        return found


class Watcher:
    """Reads a file again and again, from a thread of its own, and collects the digests of what it finds there."""

    def __init__(self, path: Path) -> None:
        self.seen: set[str] = set()
        self._path = path
        self._over = threading.Event()
        self._looked = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watcher:
        self._thread.start()
        self._looked.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                self.seen.add(_digest(self._path.read_bytes()))
            except FileNotFoundError:
                self.seen.add("no file")
            self._looked.set()


class Drawing(WorkerAdapter):
    """A worker that draws parts."""

    name = "drawing"

    def __init__(self, under_test: StitcherUnderTest) -> None:
        self._under_test = under_test

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        chunk = request.chunk
        path = Path(request.job_dir, chunk.output_file)
        await _done(self._under_test.make_part(path, chunk.start_frame, chunk.frame_count))
        return ChunkResult(exit_code=0, duration=0.0)


class StitcherContract(Contract):
    """Subclass it, and override `under_test`."""

    kind = "stitcher"

    @pytest.fixture
    def under_test(self) -> StitcherUnderTest:
        raise NotImplementedError(f"override the fixture `under_test` of {type(self).__name__}")

    @pytest.fixture
    def studio(
        self, under_test: StitcherUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Studio]:
        job_dir, temporary = tmp_path / "the job's folder", tmp_path / "temporary"
        job_dir.mkdir()
        temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        monkeypatch.setenv("TMPDIR", str(temporary))
        studio = Studio(under_test, job_dir)
        yield studio
        assert studio.processes() == [], "no process outlives a join"
        assert list(temporary.iterdir()) == [], "no temporary file outlives a join"

    # --- what is joined ----------------------------------------------------------------------------------------------

    @asynchronous
    async def test_the_film_is_the_parts_one_after_the_other(self, studio: Studio) -> None:
        await studio.join(await studio.draw(("a", 3), ("b", 1), ("c", 4)))

    @asynchronous
    async def test_parts_are_joined_in_the_order_of_the_specification(self, studio: Studio) -> None:
        """Whatever order their names would give: by text "part 10" comes before "part 2"."""
        counts = [2, *[1] * 11]
        await studio.join(await studio.draw(*((f"part {index}", count) for index, count in enumerate(counts))))
        await studio.join(await studio.draw(*((f"part {20 - index}", count) for index, count in enumerate(counts))))

    @asynchronous
    async def test_one_part_is_a_film(self, studio: Studio) -> None:
        await studio.join(await studio.draw(("part", 3)))

    @asynchronous
    async def test_the_film_s_path_size_and_digest_are_told(self, studio: Studio) -> None:
        output = await studio.join(request := await studio.draw(("a", 2), ("b", 2)))
        content = (studio.job_dir / request.output).read_bytes()
        assert output.path == request.output
        assert (output.size, output.sha256) == (len(content), _digest(content))

    @asynchronous
    async def test_joining_twice_gives_the_same_frames(self, studio: Studio) -> None:
        request = await studio.draw(("a", 2), ("b", 2))
        stitcher = studio.under_test.make()
        await studio.join(request, stitcher)
        await studio.join(request, stitcher)
        await studio.join(request)

    @asynchronous
    async def test_one_stitcher_joins_two_films_at_once(self, studio: Studio, tmp_path: Path) -> None:
        other = Studio(studio.under_test, tmp_path / "another folder")
        requests = await studio.draw(("a", 2), ("b", 3)), await other.draw(("a", 4), ("b", 1))
        stitcher = studio.under_test.make()
        await asyncio.gather(studio.join(requests[0], stitcher), other.join(requests[1], stitcher))

    @asynchronous
    async def test_a_job_is_joined_by_it(self, studio: Studio) -> None:
        executor = JobExecutor(Drawing(studio.under_test), stitcher=studio.under_test.make())
        request = studio.request(("a", 2), ("b", 2))
        options = JobExecutionOptions(job_dir=studio.job_dir)
        result = await executor.execute(request.spec, options)
        assert result.output == request.output
        assert await studio.frames(request.output) == await studio.frames(*request.parts)

    # --- names and paths ---------------------------------------------------------------------------------------------

    @asynchronous
    async def test_parts_may_have_any_name(self, studio: Studio) -> None:
        await studio.join(await studio.draw(*((name, 1) for name in ODD_NAMES)))

    @asynchronous
    async def test_the_film_may_have_any_name(self, studio: Studio) -> None:
        parts = ("a", 1), ("b", 2)
        await studio.draw(*parts)
        for name in ODD_NAMES:
            await studio.join(studio.request(*parts, output=name + studio.suffix))

    @asynchronous
    async def test_parts_and_film_may_lie_in_folders(self, studio: Studio) -> None:
        parts = ("chunks/1/part's", 1), ("chunks/2/part's", 2)
        await studio.draw(*parts)
        await studio.join(studio.request(*parts, output=f"a new folder/ü/film{studio.suffix}"))

    @asynchronous
    async def test_paths_may_be_absolute(self, studio: Studio) -> None:
        parts = ("a", 1), ("chunks/b", 2)
        await studio.draw(*parts)
        film = str(studio.job_dir / studio.under_test.output)
        for named in (lambda part: str(studio.job_dir / part), str):
            await studio.join(studio.request(*parts, named=named, output=film))

    @asynchronous
    async def test_relative_paths_are_relative_to_the_job_directory(
        self, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parts = ("a", 1), ("b", 2)
        request = await studio.draw(*parts)
        elsewhere = Studio(studio.under_test, tmp_path / "elsewhere")
        await elsewhere.draw(("a", 4), ("b", 4))
        before = elsewhere.files()
        monkeypatch.chdir(elsewhere.job_dir)
        await studio.join(request)
        assert elsewhere.files() == before

    # --- an earlier film ---------------------------------------------------------------------------------------------

    @asynchronous
    async def test_an_earlier_film_is_replaced_in_one_step(self, studio: Studio) -> None:
        request = await studio.draw(("a", 2), ("b", 2))
        film = studio.job_dir / request.output
        film.write_bytes(earlier := b"the earlier film")
        with film.open("rb") as reader:
            with Watcher(film) as watcher:
                await studio.join(request)
            assert reader.read() == earlier, "who has it open keeps it"
        assert watcher.seen <= {_digest(earlier), _digest(film.read_bytes())}

    # --- what cannot be joined ---------------------------------------------------------------------------------------

    @asynchronous
    async def test_a_part_that_is_missing_is_named(self, studio: Studio) -> None:
        request = await studio.draw(("first", 1), ("second", 1), ("third", 1))
        for part in request.parts:
            content = (studio.job_dir / part).read_bytes()
            (studio.job_dir / part).unlink()
            assert part in str(await _refused(studio, request))
            (studio.job_dir / part).write_bytes(content)
        await studio.join(request)

    @asynchronous
    async def test_a_part_that_is_no_film_makes_no_film(self, studio: Studio) -> None:
        """One that is empty or holds something else, wherever it comes."""
        await _spoil(studio, lambda content: b"", lambda content: b"this is no film\n" * 500)

    @asynchronous
    async def test_half_a_part_makes_no_film(self, studio: Studio) -> None:
        """A film without some of its frames would be worse than none."""
        await _spoil(studio, lambda content: content[: len(content) // 2])

    @asynchronous
    async def test_no_parts_make_no_film(self, studio: Studio) -> None:
        await _refused(studio, studio.request())

    @asynchronous
    async def test_a_job_fails_when_its_parts_cannot_be_joined(self, studio: Studio) -> None:
        class Careless(Drawing):
            async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
                if request.chunk.id != 1:
                    return await super().run(request, report)
                return ChunkResult(exit_code=0, duration=0.0)

        executor = JobExecutor(Careless(studio.under_test), stitcher=studio.under_test.make())
        request = studio.request(("a", 1), ("b", 1))
        with pytest.raises(JobFailed, match=re.escape("b" + studio.suffix)):
            await executor.execute(request.spec, JobExecutionOptions(job_dir=studio.job_dir))
        assert request.output not in studio.files()

    # --- cancellation ------------------------------------------------------------------------------------------------

    @asynchronous
    async def test_a_join_that_is_cancelled_leaves_nothing_unfinished(self, studio: Studio) -> None:
        """No film or the whole one, no other file and no process, whenever that is."""
        request = await studio.draw(("a", 2), ("b", 2))
        wanted = await studio.frames(*request.parts)
        before = studio.files()
        async for cancelled in interrupted(lambda: studio.under_test.make().stitch(request)):
            assert studio.processes() == []
            after = studio.files()
            if request.output in after:
                assert await studio.frames(request.output) == wanted
                after.pop(request.output)
                (studio.job_dir / request.output).unlink()
            else:
                assert cancelled
            assert after == before

    @asynchronous
    async def test_a_join_that_is_cancelled_leaves_an_earlier_film_whole(self, studio: Studio) -> None:
        request = await studio.draw(("a", 2), ("b", 2))
        film = studio.job_dir / request.output
        wanted = await studio.frames(*request.parts)
        film.write_bytes(b"the earlier film")
        before = studio.files()
        async for _ in interrupted(lambda: studio.under_test.make().stitch(request)):
            after = studio.files()
            if after != before:
                assert await studio.frames(request.output) == wanted
                film.write_bytes(b"the earlier film")
                assert studio.files() == before


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def _spoil(studio: Studio, *ways: Callable[[bytes], bytes]) -> None:
    """Whichever part is spoilt, in whichever way, there is no film; and there is one when none is."""
    request = await studio.draw(("first", 3), ("second", 3), ("third", 3))
    for part in request.parts:
        content = (studio.job_dir / part).read_bytes()
        for spoilt in ways:
            (studio.job_dir / part).write_bytes(spoilt(content))
            await _refused(studio, request)
        (studio.job_dir / part).write_bytes(content)
    await studio.join(request)


async def _refused(studio: Studio, request: StitchRequest) -> StitchFailed:
    """The join fails, with and without an earlier film, and leaves everything as it was."""
    film = studio.job_dir / request.output
    for earlier in (b"the earlier film", None):
        if earlier is None:
            film.unlink()
        else:
            film.write_bytes(earlier)
        before = studio.files()
        with pytest.raises(StitchFailed) as failed:
            await studio.under_test.make().stitch(request)
        assert str(failed.value), "a sentence that says what to do"
        assert studio.files() == before
    return failed.value


async def _done(value: Awaitable[T] | T) -> T:
    return await value if inspect.isawaitable(value) else value
