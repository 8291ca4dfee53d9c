"""The log of one attempt, following what is added to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nicegui import background_tasks, ui

from heliostat.studio.page.log_follower import LogFollower
from heliostat.studio.page.pace import Sending

if TYPE_CHECKING:
    from pathlib import Path

    from nicegui import events

    from heliostat.studio.page.elements import Tag
    from heliostat.studio.page.pace import Pace


class LogView(ui.element, component="log_tail.js"):
    def __init__(self, pace: Pace, label: str, folder: Path, path: Path, whole: Tag) -> None:
        """`whole`: what leads to all of it, shown as soon as there is something."""
        super().__init__()
        self._whole = whole.show(False)
        self._props["label"] = label
        self._pace = pace
        self._folder = folder
        self._path = path
        self._sending = Sending(pace)
        self._task: asyncio.Task[None] | None = None

        def drawn(event: events.GenericEventArguments) -> None:
            if isinstance(event.args, int):
                self._sending.drawn(event.args)

        self.on("ready", self._begin)
        self.on("drawn", drawn)

    def _begin(self) -> None:
        """The browser shows it, perhaps not for the first time."""
        self._end()
        self._sending = Sending(self._pace)
        self._task = background_tasks.create(self._follow(), name=f"log {self._path.name}")

    async def _follow(self) -> None:
        self.run_method("clear")
        async for text in LogFollower(self._folder, self._path).follow():
            self._whole.show(True)
            await self._sending.turn()
            self._sending.sent(lambda number, text=text: self.run_method("add", text, number))  # type: ignore[misc]

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _handle_delete(self) -> None:
        self._end()
        super()._handle_delete()
