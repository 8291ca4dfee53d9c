"""The page at addresses that are nobody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from heliostat.studio.page.elements import Tag
from heliostat.studio.page.live_page import LivePage, Still

if TYPE_CHECKING:
    from heliostat.studio.page.board import Board


class MissingPage(LivePage):
    def __init__(self, board: Board) -> None:
        super().__init__(board, "Not found", "")

    def build(self) -> None:
        ui.status_code(404)
        with self.main:
            Tag("h1", "There is nothing here")
            with Tag("p", classes="empty"):
                Tag("a", "All jobs", href="/")
        still = Still()
        self.live(lambda: still, lambda: None)
