"""The page of one job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nicegui import background_tasks, ui

from heliostat import plain
from heliostat.studio.page import wording
from heliostat.studio.page.chunk_dialog import ChunkDialog
from heliostat.studio.page.chunk_map import ChunkCard
from heliostat.studio.page.controls import Controls
from heliostat.studio.page.elements import Tag
from heliostat.studio.page.failure_card import FailureCard
from heliostat.studio.page.join_card import JoinCard
from heliostat.studio.page.live_page import LivePage
from heliostat.studio.page.overall import Overall, describe_attempt, describe_chunk
from heliostat.studio.page.player import Player
from heliostat.studio.page.throughput_chart import ThroughputCard
from heliostat.studio.page.timeline import TimelineCard

if TYPE_CHECKING:
    from heliostat.studio.page.board import Board
    from heliostat.studio.page.picture import JobPicture
    from heliostat.studio.page.slots import Bar
    from heliostat.studio.page.watched import WatchedJob


CHART_AFTER: Final = 1.5
"""Seconds until the chart's library is loaded, which is large: the rest of the page comes first."""


class JobPage(LivePage):
    def __init__(self, board: Board, job_id: str) -> None:
        super().__init__(board, plain(job_id), "/jobs")
        self._id = job_id
        self._job: WatchedJob

    async def build(self) -> None:
        self._job = await self.look(self.board.jobs.looking_at(self._id))
        if self._job.is_gone:
            ui.status_code(404)
        with self.main:
            self._gone = Tag("p", "", "empty").show(False)
            with Tag("div") as self._all:
                self._build_title()
                self._overall = Overall()
                with Tag("div", classes="cards"):
                    with Tag("div", classes="wide"):
                        self._chunks = ChunkCard(self._describe_chunk, self._open_chunk)
                        self._timeline = TimelineCard(self._describe_attempt, self._open_attempt)
                        self._throughput = ThroughputCard()
                    with Tag("div", classes="side"):
                        self._player = Player()
                        self._join = JoinCard(self.board.pace)
                        self._failures = FailureCard(self._open_chunk)
            self._dialog = ChunkDialog(self.board.studio.repository, self.board.pace, self._player.play)
        self.live(lambda: self._job, self._refresh_job)
        ui.timer(CHART_AFTER, self._throughput.begin, once=True)

    def _build_title(self) -> None:
        with Tag("div", classes="crumbs"):
            Tag("a", "Jobs", href="/")
            Tag("span", "/", aria_hidden="true")
            Tag("span", plain(self._id), "mono", id="job-id")
        with Tag("div", classes="title"):
            self._name = Tag("h1", plain(self._id))
            self._state = Tag("span", "", "pill", id="state", role="status")
            self._controls = Controls(self.board.studio.manager, self._id)
        with Tag("div", classes="facts"):
            self._facts = [Tag("span") for _ in range(4)]

    def _refresh_job(self) -> None:
        picture = self._job.picture
        self.trouble(self._job.trouble)
        self._gone.show(picture is None or self._job.is_gone)
        self._all.show(picture is not None and not self._job.is_gone)
        self._gone.say("There is no such job, or it was deleted." if self._job.is_gone else "Reading the job…")
        if picture is None or self._job.is_gone:
            return
        word = wording.state(picture.status)
        if self._name.text != picture.name:
            self._name.say(picture.name)
            self.title(picture.name)
        self._state.say(word).mark_as("pill", word)
        for shown, text in zip(self._facts, _facts(picture), strict=True):
            shown.say(text)
        self._controls.refresh(picture)
        self._overall.refresh(picture)
        self._chunks.refresh(picture)
        self._timeline.refresh(picture)
        self._throughput.refresh(picture)
        self._failures.refresh(picture)
        self._player.refresh(picture)
        self._join.refresh(picture)
        background_tasks.create_lazy(self._dialog.refresh(picture), name=f"chunk {id(self)}")

    def _describe_chunk(self, index: int) -> str:
        return "" if self._job.picture is None else describe_chunk(self._job.picture, index)

    def _describe_attempt(self, bar: Bar) -> str:
        picture = self._job.picture
        if picture is None:
            return ""
        seconds = (picture.now if bar.ended is None else bar.ended) - bar.began
        return describe_attempt(picture, bar.index, bar.number, bar.state, max(0.0, seconds))

    def _open_chunk(self, index: int, number: int | None = None) -> None:
        if self._job.picture is not None:
            background_tasks.create(self._dialog.open(self._job.picture, index, number), name="chunk")

    def _open_attempt(self, bar: Bar) -> None:
        self._open_chunk(bar.index, bar.number)


def _facts(picture: JobPicture) -> tuple[str, str, str, str]:
    status = picture.status
    worker = plain(status.worker.name) if status.worker else "local"
    folder = plain(status.settings.job_dir or "")
    film = plain(status.output or "")
    return (
        f"worker {worker}",
        f"submitted {status.created_at.astimezone():%Y-%m-%d %H:%M}",
        f"in {folder}" if folder else "",
        f"film {film}" if film else "",
    )
