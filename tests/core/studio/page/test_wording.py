"""Numbers and times as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from heliostat.studio.page import addresses, wording


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03"), (-1, "0:00")]
)
def test_a_clock(seconds: float | None, text: str) -> None:
    assert wording.clock(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(None, "–"), (0.123, "0.12"), (18.24, "18.2"), (123.4, "123"), (12_345.6, "12,346")]
)
def test_a_speed_has_as_many_digits_as_tell_something(rate: float | None, text: str) -> None:
    assert wording.speed(rate) == text


@pytest.mark.parametrize(("usd", "text"), [(0, "–"), (0.00123, "$0.0012"), (1234.5, "$1,234.50")])
def test_a_cost(usd: float, text: str) -> None:
    assert wording.cost(usd) == text


@pytest.mark.parametrize(
    ("age", "text"), [(5, "just now"), (125, "2 min ago"), (7_300, "2 h ago"), (200_000, "2 d ago"), (-9, "just now")]
)
def test_an_age(age: float, text: str) -> None:
    now = datetime.now(UTC)
    assert wording.age(now - timedelta(seconds=age), now) == text


def test_an_id_is_one_part_of_an_address() -> None:
    assert addresses.log("a/b?c#d", 3, 2) == "/api/v1/jobs/a%2Fb%3Fc%23d/chunks/3/attempts/2/log"
