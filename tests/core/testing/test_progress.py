"""The contract of progress sinks finds what is broken, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import msgspec
import pytest

from heliostat import Event
from heliostat.testing import ProgressSinkContract
from heliostat.testing.every_event import EVERY_EVENT, without_optional_fields

ALL = {name.removeprefix("test_").replace("_", " ") for name in dir(ProgressSinkContract) if name.startswith("test_")}
FAILS = {
    "TestQuiet": set(),
    "TestWaiting": set(),
    "TestPlain": {"texts may hold anything"},
    "TestHasty": {
        "a job fails",
        "a misconfigured job fails at once",
        "events are understood without their optional fields",
        "texts may hold anything",
    },
    "TestSingle": {"one sink serves two jobs at once"},
    "TestShared": {"one sink serves two jobs at once", "two sinks serve two jobs at once"},
    "TestSpent": {
        "a job is paused and resumed",
        "every end of a job is understood",
        "one sink serves one job after the other",
        "one sink serves two jobs at once",
    },
    "TestThreaded": {"nothing of a sink outlives its job"},
    "TestTasked": {"nothing of a sink outlives its job"},
    "TestRedirecting": {"nothing of a sink outlives its job"},
    "TestHanging": {"a job of no chunks completes", "one sink serves one job after the other"},
    "TestRaising": ALL,
}


def test_each_broken_sink_fails_the_points_that_it_breaks(failing: Callable[[str], dict[str, set[str]]]):
    assert failing("broken_sinks.py") == FAILS


def test_every_kind_of_event_is_told_with_all_its_fields():
    assert {type(event) for event in EVERY_EVENT} == set(get_args(Event))
    for event in EVERY_EVENT:
        for field in msgspec.structs.fields(event):
            assert field.required or getattr(event, field.name) != field.default, (event, field.name)


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: type(event).__name__)
def test_without_optional_fields_nothing_but_the_required_ones_is_set(event):
    bare = without_optional_fields(event)
    assert type(bare) is type(event)
    for field in msgspec.structs.fields(bare):
        assert field.required or getattr(bare, field.name) == field.default
