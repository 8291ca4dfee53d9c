"""The part of every page that knows whether the browser is there and keeps up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nicegui import ui

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicegui import events

    from heliostat.studio.page.pace import Sending

LOST: Final = (
    "The connection to Studio is gone. What you see is no longer live; it goes on by itself when Studio is back."
)


class Pulse(ui.element, component="pulse.js"):
    def __init__(self, sending: Sending, on_theme: Callable[[bool | None], object]) -> None:
        """`on_theme`: is told whether the page is to be dark, or None when it follows the system."""
        super().__init__()
        self._props["text"] = LOST
        self._sending = sending

        def drawn(event: events.GenericEventArguments) -> None:
            if isinstance(event.args, int):
                sending.drawn(event.args)

        def themed(event: events.GenericEventArguments) -> None:
            on_theme(event.args if isinstance(event.args, bool) else None)

        self.on("drawn", drawn)
        self.on("themed", themed)
        self.client.on_connect(sending.connected)

    def beat(self) -> None:
        """Something was sent."""
        self._sending.sent(lambda number: self.run_method("beat", number))

    def turn_theme(self, cookie: str) -> None:
        """From dark to light or back, and keep that in a cookie."""
        self.run_method("turn_theme", cookie)
