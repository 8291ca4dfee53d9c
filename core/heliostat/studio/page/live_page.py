"""A page that shows how something is, and goes on doing so: the frame around it, and when it is brought up to date."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from nicegui import background_tasks, ui

from heliostat.studio.coordinator import CoordinatorState
from heliostat.studio.page.elements import Tag
from heliostat.studio.page.pace import Sending
from heliostat.studio.page.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable

    from heliostat.studio.page.board import Board

LOOK_EVERY: Final = 1.0
"""Seconds from one look at a clock to the next: ages, and how the coordinator process is, may have changed."""
PATIENCE: Final = 0.7
"""Seconds that a page is held back for what is to be on it. It is sent without that then."""
DOWN_AFTER: Final = 1.0
"""Seconds that the coordinator process may take to start before the page speaks of it."""
THEME: Final = "heliostat-theme"
"""The name of the cookie that holds `dark` or `light`."""

_PLACES: Final = (("/", "Jobs"), ("/submit", "New job"))


class Source(Protocol):
    """Something that is kept up to date."""

    @property
    def version(self) -> int:
        """Rises when there is something new to show."""

    async def changed(self, seen: int) -> None:
        """Wait until the version is another one."""


S = TypeVar("S", bound=Source)


class Still:
    """What a page shows that never changes."""

    version = 0

    async def changed(self, seen: int) -> None:
        if seen == self.version:
            await asyncio.Event().wait()


class LivePage:
    """One for each browser. Build the page inside of `main`, then call `live`."""

    def __init__(self, board: Board, title: str, place: str) -> None:
        """`place`: the address that the navigation shows as the current one."""
        self.board = board
        self._client = ui.context.client
        self._sending = Sending(board.pace)
        self._looks = contextlib.ExitStack()
        self._looks.enter_context(board.pace.joined())
        self._client.on_delete(self._looks.close)
        self.title(title)
        ui.add_head_html(f'<link rel="stylesheet" href="{board.stylesheet}">')
        self._theme = ui.dark_mode({"dark": True, "light": False}.get(self._client.request.cookies.get(THEME, "")))
        with self._client.layout, Tag("div") as head:  # beside the element <main>, which NiceGUI makes
            self._build_head(place)
        head.move(self._client.layout, 0)
        self.main = Tag("div", id="main", tabindex=-1)

    def _build_head(self, place: str) -> None:
        Tag("a", "Skip to content", "skip", href="#main")
        with Tag("header", classes="top"):
            Tag("a", "Heliostat", "brand", href="/", aria_label="Heliostat Studio")
            with Tag("nav", aria_label="Studio"):
                for address, name in _PLACES:
                    Tag("a", name, href=address, aria_current="page" if address == place else None)
            theme = Tag(
                "button", "", "plain theme", type="button", title="Dark or light", aria_label="Theme", id="theme"
            )
            theme.on_click(lambda: self.pulse.turn_theme(THEME))
        self.pulse = Pulse(self._sending, self._theme.set_value)
        with Tag("div", role="status", aria_live="polite"):
            self._coordinator = Tag("div", "", "banner").show(False)
            self._trouble = Tag("div", "", "banner").show(False)

    async def look(self, source: contextlib.AbstractContextManager[S]) -> S:
        """Look at something for as long as the page is there. Waits for it to be read, but not for long."""
        found = self._looks.enter_context(source)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(found.changed(0), PATIENCE)
        return found

    def live(self, source: Callable[[], Source], refresh: Callable[[], None]) -> None:
        """Bring the page up to date, now and whenever what `source` returns has changed."""
        self._refresh(refresh)
        task = background_tasks.create(self._keep(source, refresh), name=f"page {self._client.id}")
        self._looks.callback(task.cancel)

    def title(self, text: str) -> None:
        """What the browser's tab is called."""
        with self._client:
            ui.page_title(f"{text} · Heliostat")

    def trouble(self, text: str | None) -> None:
        """Say that something cannot be read."""
        self._trouble.say("" if text is None else f"Nothing new can be read: {text}").show(text is not None)

    async def _keep(self, source: Callable[[], Source], refresh: Callable[[], None]) -> None:
        seen = -1
        while True:
            looked_at = source()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(looked_at.changed(seen), LOOK_EVERY)
            await self._sending.turn()
            seen = looked_at.version if looked_at is source() else -1
            self._refresh(refresh)
            if self._client.outbox.updates or self._client.outbox.messages:
                self.pulse.beat()

    def _refresh(self, refresh: Callable[[], None]) -> None:
        problem = _down(self.board)
        self._coordinator.say(problem or "").show(problem is not None)
        refresh()


def _down(board: Board) -> str | None:
    """Why no jobs are run at the moment."""
    status = board.studio.coordinator.status
    match status.state:
        case CoordinatorState.DOWN:
            return f"No jobs are run at the moment: {status.problem}. It is started again by itself."
        case CoordinatorState.STARTING if time.time() - status.since > DOWN_AFTER:
            return "No jobs are run at the moment: the coordinator process is starting."
        case CoordinatorState.ENDED:
            return "Studio is ending. What was running is left to the next coordinator."
    return None
