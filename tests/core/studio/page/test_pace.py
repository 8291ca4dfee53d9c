"""How often a browser is sent what is new."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from heliostat.studio.page.pace import QUICKEST, SHARE, Pace, Sending


async def test_nothing_more_is_sent_before_the_browser_has_drawn() -> None:
    sending, beats = Sending(Pace()), []
    await sending.turn()
    sending.sent(beats.append)
    turn = asyncio.create_task(sending.turn())
    await asyncio.sleep(2 * QUICKEST)
    assert not turn.done()
    sending.drawn(beats[-1] - 1)  # an older one
    await asyncio.sleep(0)
    assert not turn.done()
    sending.drawn(beats[-1])
    async with asyncio.timeout(60):
        await turn


async def test_two_sendings_are_never_closer_than_the_period() -> None:
    pace = Pace()
    sending, numbers = Sending(pace), []
    sending.sent(numbers.append)
    began = time.monotonic()
    sending.drawn(numbers[-1])
    await sending.turn()
    assert time.monotonic() - began >= 0.9 * pace.period


async def test_a_connection_that_was_lost_is_no_reason_to_wait_for_ever() -> None:
    sending = Sending(Pace())
    sending.sent(lambda number: None)
    sending.connected()
    async with asyncio.timeout(60):
        await sending.turn()


@pytest.mark.parametrize("browsers", [1, 10, 50, 1_000])
def test_all_browsers_together_are_sent_to_a_limited_number_of_times_a_second(browsers: int) -> None:
    pace = Pace()
    with contextlib.ExitStack() as all_of_them:
        for _ in range(browsers):
            all_of_them.enter_context(pace.joined())
        assert pace.period >= QUICKEST
        assert browsers / pace.period <= 1 / SHARE + 1e-9


def test_a_browser_that_leaves_makes_room() -> None:
    pace = Pace()
    with pace.joined(), pace.joined():
        assert pace.browsers == 2
    assert pace.browsers == 0
