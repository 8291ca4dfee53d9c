"""The page with the list of jobs."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from nicegui import ui

from heliostat import JobState, plain
from heliostat.studio.page import wording
from heliostat.studio.page.addresses import job_page
from heliostat.studio.page.elements import Bar, Parts, Tag
from heliostat.studio.page.listed import ROWS, Query
from heliostat.studio.page.live_page import PATIENCE, LivePage

if TYPE_CHECKING:
    from nicegui import events

    from heliostat import JobStatus
    from heliostat.studio.page.board import Board
    from heliostat.studio.page.listed import JobList
    from heliostat.studio.page.watched import WatchedJob

_HEADS: Final = ("State", "Job", "Progress", "Rate", "Time left", "Worker", "Cost", "Submitted")


class JobsPage(LivePage):
    def __init__(self, board: Board, query: Query) -> None:
        super().__init__(board, "Jobs", "/")
        self._query = query
        self._list: JobList
        self._look = contextlib.ExitStack()
        self._looks.callback(lambda: self._look.close())

    async def build(self) -> None:
        with self.main:
            with Tag("div", classes="title"):
                Tag("h1", "Jobs")
                Tag("a", "New job", "button strong", href="/submit")
            with Tag("div", classes="filters"):
                with Tag("div", classes="chips", role="group", aria_label="Show jobs by state"):
                    self._chips = {state: self._chip(state) for state in (None, *JobState)}
                name = Tag(
                    "input", type="search", placeholder="Find by name", aria_label="Find jobs by name", id="name"
                )
                name.set("^value", self._query.name)  # an attribute: the property would undo typing at each update
                name.on("input", self._name_given, js_handler="(event) => emit(event.target.value)", throttle=0.3)
            with Tag("table", classes="jobs"):
                with Tag("thead"), Tag("tr"):
                    for head in _HEADS:
                        Tag("th", head, scope="col")
                self._rows: Parts[tuple[str, datetime], _Row] = Parts(Tag("tbody", id="jobs"))
            self._empty = Tag("p", "", "empty").show(False)
            with Tag("nav", classes="pages", aria_label="Pages of the list"):
                self._newer = Tag("button", "Newer", type="button").on_click(lambda: self._turn(-1))
                self._place = Tag("span", "")
                self._older = Tag("button", "Older", type="button").on_click(lambda: self._turn(1))
        await self._show(self._query)
        self.live(lambda: self._list, self._refresh_list)

    async def _show(self, query: Query) -> None:
        """Look at another part of the list."""
        look = contextlib.ExitStack()
        found = look.enter_context(self.board.lists.looking_at(query))
        self._look.close()
        self._query, self._list, self._look = query, found, look
        for state, chip in self._chips.items():
            chip.set("aria-pressed", "true" if state is query.state else "false")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(found.changed(0), PATIENCE)

    async def _change(self, query: Query) -> None:
        await self._show(query)
        values = {"state": query.state or "", "name": query.name, "page": query.page or ""}
        given = urlencode({name: value for name, value in values.items() if value})
        ui.navigate.history.replace(f"/?{given}" if given else "/")
        self._refresh_list()

    def _chip(self, state: JobState | None) -> Tag:
        async def chosen() -> None:
            await self._change(Query(state=state, name=self._query.name))

        return Tag("button", "all" if state is None else str(state), type="button").on_click(chosen)

    async def _name_given(self, event: events.GenericEventArguments) -> None:
        await self._change(Query(state=self._query.state, name=str(event.args).strip()))

    async def _turn(self, pages: int) -> None:
        last = max(0, self._list.total - 1) // ROWS
        page = max(0, min(self._query.page + pages, last))
        await self._change(Query(state=self._query.state, name=self._query.name, page=page))

    def _refresh_list(self) -> None:
        jobs, now = self._list.jobs, datetime.now(UTC)
        self.trouble(self._list.trouble)
        by_key = {(job.id, job.created_at): job for job in jobs}  # a job that was deleted may leave its id to another
        self._rows.arrange(by_key, lambda key: _Row(by_key[key]))
        for key, job in by_key.items():
            self._rows[key].show(job, self._list.live.get(job.id), now)
        self._empty.say(self._nothing()).show(not jobs)
        page = self._query.page
        self._newer.show(page > 0)
        first, total = page * ROWS, self._list.total
        self._older.show(first + len(jobs) < total)
        self._place.say(f"{first + 1:,} to {first + len(jobs):,} of {total:,}" if jobs and total > len(jobs) else "")
        for state, chip in self._chips.items():
            number = sum(self._list.counts.values()) if state is None else self._list.counts.get(state, 0)
            chip.say(f"{'all' if state is None else state} {number:,}")

    def _nothing(self) -> str:
        if not self._list.is_read:
            return "Reading the list of jobs…"
        if self._query == Query():
            return "There are no jobs yet. Make one here, or with: heliostat submit job.toml"
        return "No job is like that." if self._query.page == 0 else "There are no more jobs."


class _Row:
    """One job. What has not changed is not sent again."""

    def __init__(self, job: JobStatus) -> None:
        name = plain(job.spec.name) or plain(job.id)
        with Tag("tr", data_job=job.id) as self.root:
            with Tag("td", classes="state"):
                self._state = Tag("span")
            with Tag("td", classes="name"):
                Tag("a", name, href=job_page(job.id))
                Tag("span", plain(job.id), "id")
            with Tag("td", classes="progress"):
                self._bar = Bar(f"Frames of {name}")
                with Tag("div", classes="under"):
                    self._percent = Tag("span", "", "percent")
                    self._frames = Tag("span", "", "frames")
            self._rate = Tag("td", "", "rate number", data_head="Rate")
            self._eta = Tag("td", "", "eta number", data_head="Time left")
            self._worker = Tag("td", "", "worker", data_head="Worker")
            self._cost = Tag("td", "", "cost number", data_head="Cost")
            self._age = Tag("td", "", "age number", data_head="Submitted")

    def show(self, job: JobStatus, live: WatchedJob | None, now: datetime) -> None:
        picture = None if live is None else live.picture
        total = job.spec.metadata.total_frames
        if picture is not None:
            job = picture.status  # what goes with the picture
            done, percent, rate, eta = picture.frames_done, picture.percent, picture.rate, picture.eta
        else:
            done, rate, eta = min(job.metrics.frames_done, total), None, None
            percent = job.percent_of_frames
        if job.state is JobState.COMPLETED:
            done, percent = total, 100.0
        word = wording.state(job)
        self._state.say(word).mark_as("pill", word)
        frames = f"{int(done):,} of {total:,} frames"
        self._bar.fill(percent, word, frames)
        self._percent.say(f"{int(percent)} %")
        self._frames.say(frames)
        for cell, name, text in (
            (self._rate, "rate", wording.rate(rate)),
            (self._eta, "eta", wording.clock(eta)),
            (self._cost, "cost", wording.cost(job.metrics.cost_usd)),
        ):
            cell.say(text).mark_as(name, "number", *(["none"] if text == wording.UNKNOWN else []))
        self._worker.say(plain(job.worker.name) if job.worker else "local")
        self._age.say(wording.age(job.created_at, now)).set("title", f"{job.created_at.astimezone():%Y-%m-%d %H:%M:%S}")
