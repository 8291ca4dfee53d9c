"""One chunk: what it is, its attempts, and the log of one of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nicegui import ui

from heliostat import AttemptState, Chunk, ChunkState, log_path, plain
from heliostat.errors import HeliostatError
from heliostat.studio.page import addresses, wording
from heliostat.studio.page.elements import Tag
from heliostat.studio.page.log_view import LogView

if TYPE_CHECKING:
    from heliostat import AttemptStatus, JobRepository
    from heliostat.studio.page.pace import Pace
    from heliostat.studio.page.picture import JobPicture

_HEADS: Final = ("Attempt", "State", "Began", "Took", "Worker", "Cost", "What went wrong")


class ChunkDialog:
    """`open` shows it; what it shows of attempts changes with them while it is open."""

    def __init__(self, repository: JobRepository, pace: Pace, play: Callable[[int], None]) -> None:
        self._repository = repository
        self._pace = pace
        self._play = play
        self._picture: JobPicture
        self._index = -1
        self._shown: object = None
        self._chosen: int | None = None
        """The attempt whose log is shown, by its number; None before the first."""
        with ui.dialog() as self._dialog, Tag("div", classes="panel"):
            with Tag("header"):
                self._head = Tag("h2", "", id="chunk-head")
                self._state = Tag("span", "", "pill")
                Tag("button", "Close", type="button").on_click(self._dialog.close)
            self._body = Tag("div")
        self._dialog.props["aria-labelledby"] = "chunk-head"
        self._dialog.on("hide", self._closed, [])

    async def open(self, picture: JobPicture, index: int, number: int | None = None) -> None:
        """`number`: the attempt whose log is to be shown; else the newest."""
        self._picture, self._index, self._shown, self._chosen = picture, index, None, number
        self._dialog.open()
        await self.refresh(picture)

    async def refresh(self, picture: JobPicture) -> None:
        index = self._index
        if not self._dialog.value or index >= len(picture.cells):
            return
        self._picture = picture
        state, newest = picture.cells.state(index), picture.cells.attempts(index)
        if self._shown == (state, newest):
            return
        try:
            attempts = await self._repository.attempts(picture.status.id, index=index)
        except HeliostatError:
            return  # it is tried again
        if index != self._index:
            return
        self._shown = (state, newest)
        chunk = picture.status.spec.chunks[index]
        self._head.say(f"Chunk {plain(str(chunk.id))}")
        self._state.say(str(state)).mark_as("pill", str(state))
        self._body.clear()
        with self._body:
            self._show_chunk(chunk, state)
            if attempts:
                self._show_attempts(attempts)
                self._log = Tag("div")
                self._show_log(self._chosen or attempts[-1].number)

    def _show_chunk(self, chunk: Chunk, state: ChunkState) -> None:
        last = chunk.start_frame + (chunk.frame_count - 1) * chunk.step
        command = chunk.command if isinstance(chunk.command, str) else shlex.join(chunk.command)
        with Tag("div", classes="facts"):
            Tag("span", f"{wording.count(chunk.frame_count, 'frame')}, {chunk.start_frame:,} to {last:,}")
            Tag("span", plain(chunk.output_file), "mono")
        Tag("pre", plain(command), "said", tabindex=0, aria_label="Command")
        if state is ChunkState.SUCCEEDED:
            with Tag("div", classes="actions"):
                Tag("button", "Play", type="button").on_click(self._play_it)
                Tag(
                    "a",
                    "Download",
                    "button",
                    href=addresses.output(self._picture.status.id, self._index),
                    download=True,
                )

    def _show_attempts(self, attempts: Sequence[AttemptStatus]) -> None:
        Tag("h3", "Attempts")
        with Tag("div", classes="scroll"), Tag("table", classes="attempts"):
            with Tag("thead"), Tag("tr"):
                for head in _HEADS:
                    Tag("th", head, scope="col")
            with Tag("tbody"):
                for attempt in attempts:
                    self._show_attempt(attempt)

    def _show_attempt(self, attempt: AttemptStatus) -> None:
        result = attempt.result
        ended = attempt.ended_at
        cost = result.usage.cost_usd if result is not None and result.usage is not None else None
        wrong = plain(attempt.message or "")
        if attempt.state is AttemptState.FAILED and attempt.cause is not None:
            wrong = f"{str(attempt.cause).replace('_', ' ')}: {wrong}"
        with Tag("tr"):
            with Tag("td"):
                log = Tag("button", f"{attempt.number}", "link", type="button", title="Show its log")
                log.on_click(lambda: self._show_log(attempt.number))
            with Tag("td"):
                Tag("span", str(attempt.state), f"pill {attempt.state}")
            Tag("td", f"{datetime.fromtimestamp(attempt.started_at):%H:%M:%S}")
            Tag("td", wording.UNKNOWN if ended is None else wording.took(ended - attempt.started_at))
            Tag("td", plain(result.worker) if result is not None and result.worker else wording.UNKNOWN)
            Tag("td", wording.cost(cost or 0.0))
            Tag("td", wrong)

    def _show_log(self, number: int) -> None:
        self._chosen = number
        status = self._picture.status
        folder = Path(status.settings.job_dir or ".")
        path = log_path(folder, status.id, self._index, number)
        self._log.clear()
        with self._log:
            with Tag("div", classes="where"):
                Tag("h3", f"Log of attempt {number}")
                Tag("a", "whole log", href=addresses.log(status.id, self._index, number), target="_blank")
            LogView(self._pace, f"Log of attempt {number}", folder, path)

    def _play_it(self) -> None:
        self._dialog.close()
        self._play(self._index)

    def _closed(self) -> None:
        self._index = -1
        self._body.clear()  # which ends the log, too
