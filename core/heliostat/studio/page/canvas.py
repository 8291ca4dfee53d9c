"""What many small things are drawn on in the browser, which asks about one of them when somebody points at it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from nicegui import ui

if TYPE_CHECKING:
    from nicegui import events

T = TypeVar("T")


class Canvas(ui.element, Generic[T], dependencies=["canvas.js"]):
    """Its component extends `canvas.js`, which sends `ready` when there is something to draw on, and `ask` and `open`
    with a number."""

    def __init__(self, describe: Callable[[T], str], on_open: Callable[[T], None]) -> None:
        """`describe`: what the tip of one says. `on_open`: one was chosen."""
        super().__init__()
        self._mark: int | None = None
        """What the browser has of the changes to what is shown; None before it has anything."""
        self._is_ready = False
        self._describe = describe
        self._on_open = on_open
        self.on("ready", self._ready)
        self.on("ask", self._ask)
        self.on("open", self._open)

    def label(self, text: str) -> None:
        """What it is to a screen reader."""
        if self._props.get("label") != text:
            self._props["label"] = text

    @abstractmethod
    def _begin(self) -> None:
        """Send all that is to be shown, where that is known already."""

    @abstractmethod
    def _find(self, number: int) -> T | None:
        """What the browser means by a number; it may send any."""

    def _ready(self, event: events.GenericEventArguments) -> None:
        self._is_ready, self._mark = True, None
        self._begin()

    def _ask(self, event: events.GenericEventArguments) -> None:
        if (found := self._found(event)) is not None:
            self.run_method("tell", event.args, self._describe(found))

    def _open(self, event: events.GenericEventArguments) -> None:
        if (found := self._found(event)) is not None:
            self._on_open(found)

    def _found(self, event: events.GenericEventArguments) -> T | None:
        return self._find(event.args) if type(event.args) is int else None
