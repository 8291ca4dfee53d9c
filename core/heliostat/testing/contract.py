"""What the contract suites share: every test is one point of a contract, which a run shows, or says why it cannot."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final, NoReturn

import pytest

PATIENCE: Final = 240.0
"""Seconds until a test of a contract gives up."""

_NOT_SHOWN = "not shown: "


class Contract:
    """The base of the contract suites. Subclass one of them in a test module and override its fixture `under_test`."""

    kind: ClassVar[str]
    """What implements the contract: a key of `heliostat.plugins.KINDS`."""

    @pytest.fixture
    def under_test(self) -> Any:
        raise NotImplementedError(f"override the fixture `under_test` of {type(self).__name__}")

    @pytest.fixture(autouse=True)
    def _named(self, under_test: Any, record_property: Callable[[str, object], None]) -> None:
        if name := getattr(under_test, "label", None):
            record_property(SUBJECT, name)


SUBJECT: Final = "heliostat_subject"
"""The property of a test report that names the implementation; without it that is the test class."""


def not_shown(reason: str) -> NoReturn:
    """End the test: the point cannot be shown here. It is listed so, which is neither a pass nor a failure."""
    pytest.skip(_NOT_SHOWN + reason)


def reason_of(skipped: str) -> str:
    """Why a test was skipped, from what pytest says of it."""
    return skipped.removeprefix("Skipped: ").removeprefix(_NOT_SHOWN)


def asynchronous(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that is a coroutine function, run on an event loop of its own; it needs no plugin of pytest."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        async def in_time() -> None:
            async with asyncio.timeout(PATIENCE):
                await test(*arguments, **named)

        asyncio.run(in_time())

    return run
