"""One chunk: what it is, its attempts, and the log of one of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nicegui import ui

from heliostat import AttemptState, Chunk, ChunkState, log_path, plain
from heliostat.errors import HeliostatError
from heliostat.studio.page import addresses, wording
from heliostat.studio.page.elements import Parts, Tag
from heliostat.studio.page.log_view import LogView
from heliostat.studio.page.player import is_shown

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
        self._known: object = None
        """What is shown of the chunk; None before anything is."""
        self._chosen: int | None = None
        """The attempt, by its number, whose log the visitor wants to see; None for the newest."""
        self._logged: int | None = None
        """The attempt whose log is shown."""
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
        self._picture, self._index, self._known, self._chosen = picture, index, None, number
        self._dialog.open()
        await self.refresh(picture)

    async def refresh(self, picture: JobPicture) -> None:
        index = self._index
        if not self._dialog.value or index >= len(picture.cells):
            return
        self._picture = picture
        state, newest = picture.cells.state(index), picture.cells.attempts(index)
        if self._known == (state, newest):
            return
        try:
            attempts = await self._repository.attempts(picture.status.id, index=index)
        except HeliostatError:
            return  # it is tried again
        if index != self._index:
            return
        if self._known is None:
            self._build(picture.status.spec.chunks[index])
        self._known = (state, newest)
        self._state.say(str(state)).mark_as("pill", str(state))
        self._play_button.show(state is ChunkState.SUCCEEDED and is_shown(picture, index))
        self._download.show(state is ChunkState.SUCCEEDED)
        self._tried.show(bool(attempts))
        by_number = {attempt.number: attempt for attempt in attempts}
        self._rows.arrange(by_number, lambda number: _Row(number, self._choose))
        for number, attempt in by_number.items():
            self._rows[number].show(attempt)
        if attempts:
            self._show_log(self._chosen or attempts[-1].number)

    def _build(self, chunk: Chunk) -> None:
        last = chunk.start_frame + (chunk.frame_count - 1) * chunk.step
        command = chunk.command if isinstance(chunk.command, str) else shlex.join(chunk.command)
        self._head.say(f"Chunk {plain(str(chunk.id))}")
        self._logged = None
        self._body.clear()
        with self._body:
            with Tag("div", classes="facts"):
                Tag("span", f"{wording.count(chunk.frame_count, 'frame')}, {chunk.start_frame:,} to {last:,}")
                Tag("span", plain(chunk.output_file), "mono")
            Tag("pre", plain(command), "said", tabindex=0, aria_label="Command")
            with Tag("div", classes="actions"):
                self._play_button = Tag("button", "Play", type="button").on_click(self._play_it)
                address = addresses.output(self._picture.status.id, self._index)
                self._download = Tag("a", "Download", "button", href=address, download=True)
            with Tag("div") as self._tried:
                Tag("h3", "Attempts")
                with Tag("div", classes="scroll"), Tag("table", classes="attempts"):
                    with Tag("thead"), Tag("tr"):
                        for head in _HEADS:
                            Tag("th", head, scope="col")
                    self._rows: Parts[int, _Row] = Parts(Tag("tbody"))
                self._log = Tag("div")

    def _choose(self, number: int) -> None:
        self._chosen = number
        self._show_log(number)

    def _show_log(self, number: int) -> None:
        if number == self._logged:
            return  # the visitor may be reading it
        self._logged = number
        status = self._picture.status
        folder = Path(status.settings.job_dir or ".")
        path = log_path(folder, status.id, self._index, number)
        self._log.clear()
        with self._log:
            with Tag("div", classes="where"):
                Tag("h3", f"Log of attempt {number}")
                whole = Tag("a", "whole log", href=addresses.log(status.id, self._index, number), target="_blank")
            LogView(self._pace, f"Log of attempt {number}", folder, path, whole)

    def _play_it(self) -> None:
        self._dialog.close()
        self._play(self._index)

    def _closed(self) -> None:
        self._index = -1
        self._body.clear()  # which ends the log, too


class _Row:
    """One attempt."""

    def __init__(self, number: int, choose: Callable[[int], None]) -> None:
        with Tag("tr") as self.root:
            with Tag("td"):
                log = Tag("button", f"{number}", "link", type="button", title="Show its log")
                log.on_click(lambda: choose(number))
            with Tag("td"):
                self._state = Tag("span")
            self._cells = [Tag("td") for _ in _HEADS[2:]]

    def show(self, attempt: AttemptStatus) -> None:
        result, ended = attempt.result, attempt.ended_at
        cost = result.usage.cost_usd if result is not None and result.usage is not None else None
        wrong = plain(attempt.message or "")
        if attempt.state is AttemptState.FAILED and attempt.cause is not None:
            wrong = f"{str(attempt.cause).replace('_', ' ')}: {wrong}"
        self._state.say(str(attempt.state)).mark_as("pill", str(attempt.state))
        texts = (
            f"{datetime.fromtimestamp(attempt.started_at):%H:%M:%S}",
            wording.UNKNOWN if ended is None else wording.took(ended - attempt.started_at),
            plain(result.worker) if result is not None and result.worker else wording.UNKNOWN,
            wording.cost(cost or 0.0),
            wrong,
        )
        for cell, text in zip(self._cells, texts, strict=True):
            cell.say(text)
