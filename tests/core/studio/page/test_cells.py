"""The state of every chunk, as one list of numbers and its changes."""

from __future__ import annotations

from heliostat import ChunkState, ChunkStatus
from heliostat.studio.page.cells import RETRIED, Cells
from heliostat.studio.page.changes import Changes

PENDING, RUNNING, SUCCEEDED, FAILED = range(4)


def row(index: int, state: ChunkState, attempts: int = 0) -> ChunkStatus:
    return ChunkStatus(index=index, id=index, state=state, attempts=attempts)


def test_events_lead_a_chunk_through_its_states() -> None:
    cells = Cells([10, 10])
    cells.started(1, 1)
    assert cells.all() == [PENDING, RUNNING]
    cells.progressed(1, 1, 5.0)
    assert cells.number(1) == RUNNING + 4 * 50
    cells.attempt_failed(1, 1)
    assert cells.state(1) is ChunkState.PENDING
    cells.started(1, 2)
    cells.succeeded(1, 2)
    assert cells.all() == [PENDING, SUCCEEDED | RETRIED]
    assert cells.counts == [1, 0, 1, 0]
    assert cells.running == {}


def test_a_chunk_that_is_given_up_has_failed_until_it_is_tried_again() -> None:
    cells = Cells([10])
    cells.started(0, 1)
    cells.attempt_failed(0, 1)
    cells.given_up(0, 1)
    assert cells.state(0) is ChunkState.FAILED
    cells.started(0, 2)
    assert cells.state(0) is ChunkState.RUNNING


def test_what_the_rows_had_already_changes_nothing() -> None:
    cells = Cells([10, 10, 10])
    cells.load([row(0, ChunkState.SUCCEEDED, 2), row(1, ChunkState.RUNNING, 2), row(2, ChunkState.FAILED, 3)])
    before = cells.all()
    cells.started(0, 1)
    cells.attempt_failed(0, 1)
    cells.started(0, 2)
    cells.succeeded(0, 2)
    cells.attempt_failed(1, 1)
    cells.started(1, 2)
    cells.attempt_failed(2, 2)
    cells.progressed(2, 3, 4.0)
    assert cells.all() == before
    assert cells.counts == [0, 1, 1, 1]


def test_rows_keep_the_frames_of_an_attempt_that_still_runs_and_forget_those_of_another() -> None:
    cells = Cells([10, 10])
    for index in (0, 1):
        cells.started(index, 1)
        cells.progressed(index, 1, 6.0)
    cells.load([row(0, ChunkState.RUNNING, 1), row(1, ChunkState.RUNNING, 2)])
    assert cells.running == {0: 6.0, 1: 0.0}


def test_each_reader_is_told_what_has_changed_since_it_read_last() -> None:
    cells = Cells([4, 4, 4])
    assert cells.since(None) is None
    early = cells.changes.mark
    cells.started(2, 1)
    late = cells.changes.mark
    cells.progressed(2, 1, 2.0)
    cells.started(0, 1)
    assert cells.since(early) == [0, RUNNING, 2, RUNNING + 4 * 50]
    assert cells.since(late) == [0, RUNNING, 2, RUNNING + 4 * 50]
    assert cells.since(cells.changes.mark) == []
    cells.load([row(index, ChunkState.PENDING) for index in range(3)])
    assert cells.since(late) is None


def test_progress_that_would_look_the_same_is_no_change() -> None:
    cells = Cells([1_000_000])
    cells.started(0, 1)
    mark = cells.changes.mark
    cells.progressed(0, 1, 10.0)
    assert cells.since(mark) == []


def test_chunks_in_a_state_are_found_in_both_directions() -> None:
    cells = Cells([1] * 5)
    cells.load([row(index, ChunkState.SUCCEEDED if index in (1, 4) else ChunkState.PENDING) for index in range(5)])
    assert cells.next(ChunkState.SUCCEEDED, -1) == 1
    assert cells.next(ChunkState.SUCCEEDED, 1) == 4
    assert cells.next(ChunkState.SUCCEEDED, 4) is None
    assert cells.before(ChunkState.SUCCEEDED, 4) == 1
    assert cells.before(ChunkState.SUCCEEDED, 1) is None


def test_chunks_of_no_frames_are_drawn_too() -> None:
    cells = Cells([0])
    cells.started(0, 1)
    assert cells.number(0) == RUNNING


def test_a_reader_that_missed_more_than_is_kept_reads_everything_again() -> None:
    changes = Changes(kept=3)
    mark = changes.mark
    for number in (7, 8, 7):
        changes.note(number)
    assert changes.since(mark) == [7, 8]
    changes.note(9)
    assert changes.since(mark) is None
    assert changes.since(mark + 1) == [7, 8, 9]
