"""The map of a job's chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nicegui import ui

from heliostat import ChunkState
from heliostat.studio.page.cells import STATES
from heliostat.studio.page.elements import Tag
from heliostat.studio.page.wording import count

if TYPE_CHECKING:
    from nicegui import events

    from heliostat.studio.page.cells import Cells
    from heliostat.studio.page.picture import JobPicture


class ChunkMap(ui.element, component="chunk_map.js"):
    """Sends all cells when the browser is ready for them, and afterwards what has changed."""

    def __init__(self, describe: Callable[[int], str], on_open: Callable[[int], None]) -> None:
        """`describe`: what the tip of a chunk says, by index. `on_open`: a chunk was chosen."""
        super().__init__()
        self._cells: Cells | None = None
        """What is to be shown."""
        self._mark: int | None = None
        """What of it the browser has."""
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

    def show(self, cells: Cells) -> None:
        if not self._is_ready:
            self._cells = cells
            return
        changed = cells.since(self._mark if cells is self._cells else None)
        if changed is None:
            self.run_method("reset", cells.all())
        elif changed:
            self.run_method("patch", changed)
        self._cells, self._mark = cells, cells.changes.mark

    def _ready(self, event: events.GenericEventArguments) -> None:
        self._is_ready, self._mark = True, None
        if self._cells is not None:
            self.show(self._cells)

    def _ask(self, event: events.GenericEventArguments) -> None:
        if (index := self._index(event)) is not None:
            self.run_method("tell", index, self._describe(index))

    def _open(self, event: events.GenericEventArguments) -> None:
        if (index := self._index(event)) is not None:
            self._on_open(index)

    def _index(self, event: events.GenericEventArguments) -> int | None:
        """Whatever a browser may send."""
        known = 0 if self._cells is None else len(self._cells)
        return event.args if type(event.args) is int and 0 <= event.args < known else None


class ChunkCard:
    """The map with its legend, which is also what it says in words."""

    def __init__(self, describe: Callable[[int], str], on_open: Callable[[int], None]) -> None:
        with Tag("section", classes="card", aria_labelledby="chunks-head"):
            with Tag("header"):
                self._head = Tag("h2", "Chunks", id="chunks-head")
                with Tag("div", classes="legend"):
                    self._legend = {state: Tag("span", "", str(state), data_state=str(state)) for state in ChunkState}
                    Tag("span", "retried", "retried")
            self._map = ChunkMap(describe, on_open)

    def refresh(self, picture: JobPicture) -> None:
        counts = dict(zip(STATES, picture.cells.counts, strict=True))
        self._head.say(count(len(picture.cells), "chunk"))
        for state, shown in self._legend.items():
            shown.say(f"{counts[state]:,} {state}")
        label = (
            f"Map of {count(len(picture.cells), 'chunk')}. Arrow keys move, f and r go to the next that failed or runs,"
        )
        self._map.label(f"{label} Enter opens.")
        self._map.show(picture.cells)
