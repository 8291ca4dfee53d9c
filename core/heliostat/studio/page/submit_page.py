"""The page with the form for a new job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat.studio.page.elements import Tag
from heliostat.studio.page.live_page import LivePage, Still
from heliostat.studio.page.submit_form import SubmitForm
from heliostat.studio.security.callers import refusal_to_submit

if TYPE_CHECKING:
    from heliostat.studio.page.board import Board


class SubmitPage(LivePage):
    def __init__(self, board: Board) -> None:
        super().__init__(board, "New job", "/submit")

    def build(self) -> None:
        settings = self.board.studio.settings
        refusal = refusal_to_submit(self._client.request.scope, settings.allow_submit)
        with self.main:
            with Tag("div", classes="title"):
                Tag("h1", "New job")
            if refusal is not None:
                Tag("p", f"No jobs are taken from here: {refusal}.", "notice bad", id="refusal")
            SubmitForm(refusal, settings.max_upload)
        still = Still()
        self.live(lambda: still, lambda: None)
