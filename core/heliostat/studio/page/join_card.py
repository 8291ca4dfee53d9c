"""How the chunks are joined, and what whatever joins them says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from nicegui import ui

from heliostat import log_path
from heliostat.studio.page import addresses
from heliostat.studio.page.elements import Tag
from heliostat.studio.page.log_view import LogView

if TYPE_CHECKING:
    from heliostat.studio.page.pace import Pace
    from heliostat.studio.page.picture import JobPicture

LOG: Final = "Log of the join"


class JoinCard:
    """There once the newest run has come to the join, also when that has failed."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._picture: JobPicture
        with Tag("section", classes="card", aria_labelledby="join-head", id="join") as self._card:
            with Tag("header"):
                Tag("h2", "Join", id="join-head")
                Tag("button", LOG, type="button").on_click(self._open)
            self._how = Tag("div", "", "facts mono")
        self._card.show(False)
        with ui.dialog() as self._dialog, Tag("div", classes="panel"):
            with Tag("header"):
                Tag("h2", LOG, id="join-log-head")
                self._whole = Tag("a", "whole log", target="_blank")
                Tag("button", "Close", type="button").on_click(self._dialog.close)
            self._log = Tag("div")
        self._dialog.props["aria-labelledby"] = "join-log-head"
        self._dialog.on("hide", self._log.clear, [])  # which ends it

    def refresh(self, picture: JobPicture) -> None:
        self._picture = picture
        self._card.show(picture.join is not None)
        self._how.say(picture.join or "")

    def _open(self) -> None:
        status = self._picture.status
        folder = Path(status.settings.job_dir or ".")
        # The API's and the executor's place for it: attempt 1 at the chunk after the last.
        self._whole.set("href", addresses.log(status.id, status.total_chunks, 1))
        self._log.clear()
        with self._log:
            LogView(self._pace, LOG, folder, log_path(folder, status.id, status.total_chunks, 1), self._whole)
        self._dialog.open()
