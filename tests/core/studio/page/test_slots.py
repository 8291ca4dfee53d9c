"""Which attempt ran when, and in which slot."""

from __future__ import annotations

from itertools import pairwise

from heliostat import AttemptState, AttemptStatus
from heliostat.studio.page.slots import Bar, Slots

RUNNING, SUCCEEDED, FAILED, CANCELLED = AttemptState


def row(
    index: int, began: float, ended: float | None, *, number: int = 1, state: AttemptState = SUCCEEDED
) -> AttemptStatus:
    return AttemptStatus(
        index=index, number=number, attempt_id=f"{index}-{number}", state=state, started_at=began, ended_at=ended
    )


def lanes(slots: Slots) -> list[tuple[int, int, int]]:
    """Chunk, attempt and slot of each."""
    return [(bar.index, bar.number, bar.slot) for bar in slots]


def test_an_attempt_gets_the_lowest_slot_that_is_free() -> None:
    slots = Slots()
    slots.started(0, 1, 10.0)
    slots.started(1, 1, 10.0)
    slots.started(2, 1, 10.5)
    slots.ended(1, 1, 11.0, SUCCEEDED)
    slots.ended(0, 1, 12.0, FAILED)
    slots.started(0, 2, 13.0)
    slots.started(3, 1, 13.0)
    assert lanes(slots) == [(0, 1, 0), (1, 1, 1), (2, 1, 2), (0, 2, 0), (3, 1, 1)]
    assert slots.count == 3
    assert slots.running


def test_rows_and_events_lead_to_the_same_slots() -> None:
    told, read = Slots(), Slots()
    told.started(0, 1, 1.0)
    told.started(1, 1, 2.0)
    told.ended(0, 1, 3.0, FAILED)
    told.started(0, 2, 4.0)
    told.ended(1, 1, 5.0, SUCCEEDED)
    read.load([row(1, 2.0, 5.0), row(0, 4.0, None, number=2, state=RUNNING), row(0, 1.0, 3.0, state=FAILED)])
    assert list(read) == list(told)
    read.started(0, 2, 4.0)  # what the rows had already
    read.ended(1, 1, 5.0, SUCCEEDED)
    assert list(read) == list(told)
    told.started(2, 1, 6.0)
    read.started(2, 1, 6.0)
    assert list(read) == list(told)


def test_attempts_in_one_slot_never_overlap() -> None:
    slots = Slots()
    slots.load([row(index, began := 0.37 * index, began + 1 + index % 3) for index in range(200)])
    by_slot: dict[int, list[Bar]] = {}
    for bar in slots:
        by_slot.setdefault(bar.slot, []).append(bar)
    for bars in by_slot.values():
        for earlier, later in pairwise(bars):
            assert earlier.ended is not None
            assert earlier.ended <= later.began


def test_attempts_whose_coordinator_died_end_before_their_chunk_is_tried_again() -> None:
    slots = Slots()
    slots.load(
        [
            row(0, 1.0, None, state=CANCELLED),
            row(1, 1.5, 4.0),
            row(0, 9.0, 10.0, number=2),
            row(2, 9.5, None, state=CANCELLED),
        ]
    )
    assert [(bar.index, bar.ended) for bar in slots] == [(0, 4.0), (1, 4.0), (0, 10.0), (2, 10.0)]
    assert not slots.running


def test_only_the_newest_attempts_are_kept_and_readers_go_on() -> None:
    slots = Slots(kept=10)
    for index in range(30):
        slots.started(index, 1, float(index))
        slots.ended(index, 1, index + 0.5, SUCCEEDED)
    assert len(slots) <= 11
    assert slots.bar(slots.first) == next(iter(slots))
    assert slots.bar(0) is None
    mark = slots.changes.mark
    slots.started(99, 1, 40.0)
    assert slots.since(mark, 0.0) == [slots.first + len(slots) - 1, 99, 1, 0, 40_000, -1, 0]
    slots.ended(0, 1, 50.0, FAILED)  # is no longer known


def test_times_are_sent_in_milliseconds_after_an_origin() -> None:
    slots = Slots()
    slots.load([row(4, 100.25, 101.5, number=2, state=FAILED)])
    assert slots.all(100.0) == [4, 2, 0, 250, 1_250, 2]
    assert slots.since(None, 100.0) is None
