"""Frame ranges and their cutting into chunks."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.planning.frames import Run, balanced, cut, parse_ranges


def frames(run: Run) -> range:
    return range(run.start, run.start + run.count * run.step, run.step)


@st.composite
def disjoint_runs(draw: st.DrawFn) -> list[Run]:
    """Runs side by side, in any order."""
    runs, start = [], 0
    for _ in range(draw(st.integers(1, 5))):
        count, step = draw(st.integers(1, 40)), draw(st.integers(1, 3))
        start += draw(st.integers(0, 5))
        runs.append(Run(start, count, step if count > 1 else 1))
        start = runs[-1].end + 1
    return draw(st.permutations(runs))


@given(disjoint_runs(), st.integers(1, 50))
def test_a_chunk_size_puts_every_frame_into_one_chunk_of_at_most_that_size(runs: list[Run], size: int) -> None:
    chunks = list(cut(runs, size=size))
    assert list(chain(*map(frames, chunks))) == list(chain(*map(frames, runs)))
    assert max(chunk.count for chunk in chunks) <= size


@given(disjoint_runs(), st.data())
def test_a_chunk_count_puts_every_frame_into_one_of_so_many_chunks(runs: list[Run], data: st.DataObject) -> None:
    total = sum(run.count for run in runs)
    count = data.draw(st.integers(len(runs), total))
    chunks = list(cut(runs, count=count))
    assert len(chunks) == count
    assert list(chain(*map(frames, chunks))) == list(chain(*map(frames, runs)))


@given(st.integers(1, 10**6), st.integers(1, 300))
def test_the_chunks_of_one_range_differ_by_one_frame_at_most(total: int, size: int) -> None:
    sizes = [chunk.count for chunk in cut([Run(7, total)], size=max(size, total // 1000 + 1))]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == total


@given(st.integers(0, 10**9), st.integers(1, 1000))
def test_balanced_sizes_add_up_and_differ_by_one_at_most(total: int, parts: int) -> None:
    sizes = list(balanced(total, parts))
    assert len(sizes) == parts
    assert sum(sizes) == total
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


def test_the_last_chunk_is_not_a_tiny_one() -> None:
    assert [chunk.count for chunk in cut([Run(0, 241)], size=24)] == [22] * 10 + [21]


def test_a_chunk_never_spans_two_ranges() -> None:
    assert list(cut(parse_ranges("1-10:3,20-21,30"), size=100)) == [Run(1, 4, 3), Run(20, 2), Run(30, 1)]


@given(disjoint_runs())
def test_a_list_of_ranges_is_read_as_it_is_written(runs: list[Run]) -> None:
    assert parse_ranges(",".join(map(str, runs))) == runs


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("1-240:2,300", [Run(1, 120, 2), Run(300, 1)]),
        (" 5 , 7 - 9 : 1 ", [Run(5, 1), Run(7, 3)]),
        ("1-10:20", [Run(1, 1)]),
        ("1-11:2,2-12:2", [Run(1, 6, 2), Run(2, 6, 2)]),
        ("0", [Run(0, 1)]),
    ],
)
def test_ranges(text: str, runs: list[Run]) -> None:
    assert parse_ranges(text) == runs


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", 'expected frames such as "1-240", "1-240:2" or "7", got \'\''),
        ("1-5,,7", 'expected frames such as "1-240", "1-240:2" or "7", got \'\''),
        ("a-b", 'expected frames such as "1-240", "1-240:2" or "7", got \'a-b\''),
        ("-5-7", 'expected frames such as "1-240", "1-240:2" or "7", got \'-5-7\''),
        ("5:2", 'expected frames such as "1-240", "1-240:2" or "7", got \'5:2\''),
        ("9-3", "the range 9-3 runs backwards; write 3-9"),
        ("1-9:0", "the range 1-9:0 has step 0; a step is 1 or more"),
        ("1-10,10-20", "frame 10 is in 1-10 and in 10-20; list every frame once"),
        ("300,1-400:3,4-9", "frame 4 is in 1-400:3 and in 4-9; list every frame once"),
        ("7,7", "frame 7 is in 7 and in 7; list every frame once"),
        ("1-1000000000000000", "a frame number must be below 10**15"),
    ],
)
def test_what_is_no_list_of_ranges_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_ranges(text)
    assert str(raised.value) == problem


runs_of_any_kind = st.builds(Run, st.integers(0, 60), st.integers(1, 20), st.integers(1, 9)).map(
    lambda run: run if run.count > 1 else Run(run.start, 1)
)


@given(st.lists(runs_of_any_kind, min_size=1, max_size=4))
def test_a_frame_that_is_there_twice_is_found(runs: list[Run]) -> None:
    everything = list(chain(*map(frames, runs)))
    text = ",".join(map(str, runs))
    if len(set(everything)) == len(everything):
        assert parse_ranges(text) == runs
    else:
        with pytest.raises(ValueError, match="list every frame once") as raised:
            parse_ranges(text)
        frame = int(str(raised.value).split()[1])
        assert everything.count(frame) > 1


def test_overlaps_of_long_ranges_are_found_without_walking_them() -> None:
    with pytest.raises(ValueError, match="frame 7 is in"):
        parse_ranges("7-900000000000007:300000000,1-900000000000000:3")


@pytest.mark.parametrize(
    ("runs", "count", "problem"),
    [
        ([Run(0, 5)], 6, "6 chunks are more than there are frames (5)"),
        (
            [Run(0, 5), Run(9, 5), Run(20, 1)],
            2,
            "2 chunks cannot hold 3 ranges, since a chunk holds frames of one range only",
        ),
    ],
)
def test_a_chunk_count_that_cannot_be_is_refused(runs: list[Run], count: int, problem: str) -> None:
    with pytest.raises(ValueError, match="chunks") as raised:
        cut(runs, count=count)
    assert str(raised.value) == problem
