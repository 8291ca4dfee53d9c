"""The map of a job's chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from heliostat import ChunkState
from heliostat.studio.page.canvas import Canvas
from heliostat.studio.page.cells import STATES
from heliostat.studio.page.elements import Tag
from heliostat.studio.page.wording import count

if TYPE_CHECKING:
    from heliostat.studio.page.cells import Cells
    from heliostat.studio.page.picture import JobPicture


class ChunkMap(Canvas[int], component="chunk_map.js"):
    """Sends all cells when the browser is ready for them, and afterwards what has changed."""

    def __init__(self, describe: Callable[[int], str], on_open: Callable[[int], None]) -> None:
        """Both are given a chunk's index."""
        super().__init__(describe, on_open)
        self._cells: Cells | None = None
        """What is to be shown."""

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

    def _begin(self) -> None:
        if self._cells is not None:
            self.show(self._cells)

    def _find(self, number: int) -> int | None:
        return number if self._cells is not None and 0 <= number < len(self._cells) else None


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
