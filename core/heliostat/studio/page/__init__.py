"""The web page, made with NiceGUI. `install` puts it into the application of the server.

What is shown is read from the repository once for all browsers (`watched`, `listed`, shared by `board`) and kept as a
`picture`; pages (`live_page` and what is made of it) and their parts read that and nothing else. A browser is sent what
has changed since it was sent something last, when it has drawn that (`pace`).
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi.middleware.gzip import GZipMiddleware
from nicegui import app as pages
from nicegui import ui
from nicegui.client import templates

from heliostat import JobState
from heliostat.studio.page.board import Board
from heliostat.studio.page.job_page import JobPage
from heliostat.studio.page.jobs_page import JobsPage
from heliostat.studio.page.listed import Query
from heliostat.studio.page.missing_page import MissingPage
from heliostat.studio.page.submit_page import SubmitPage
from heliostat.studio.security.page_scripts import sign_page_scripts

if TYPE_CHECKING:
    from fastapi import FastAPI

    from heliostat.studio.studio import Studio

_STYLE: Final = Path(__file__).with_name("style.css")
RECONNECT: Final = 15.0
"""Seconds that a browser may be away, or too busy to answer, before its page is loaded anew: what was clicked or typed
meanwhile is lost then. Who is there is asked of it every 0.8 times as long, and has 0.4 times as long to answer."""
COMPRESSION: Final = 4
"""A first visit loads a megabyte of scripts: level 9 takes twice the time and saves 4 % of what is sent."""
LAST_PAGE: Final = 1_000_000
"""Of the list of jobs; a larger number is no place in a database."""
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="7" fill="#f2a71b"/>'
    '<g stroke="#f2a71b" stroke-width="3" stroke-linecap="round"><path d="M16 2v3M16 27v3M2 16h3M27 16h3M6 6l2 2'
    'M24 24l2 2M6 26l2-2M24 8l2-2"/></g></svg>'
)


def install(app: FastAPI, studio: Studio) -> None:
    """Whatever `app` does not serve otherwise is a page from then on."""
    sign_page_scripts(templates.env)
    style = pages.add_static_file(local_file=_STYLE, url_path="/studio/style.css")
    board = Board(studio, f"{style}?{hashlib.sha256(_STYLE.read_bytes()).hexdigest()[:12]}")
    pages.on_shutdown(board.close)
    _add_pages(board)
    _run(app)
    _add_missing_page(board)


def _run(app: FastAPI) -> None:
    ui.run_with(
        app,
        title="Heliostat Studio",
        favicon=_ICON,
        dark=None,
        language="en-GB",
        tailwind=False,
        binding_refresh_interval=None,
        show_welcome_message=False,
        reconnect_timeout=RECONNECT,
        gzip_middleware_factory=functools.partial(GZipMiddleware, compresslevel=COMPRESSION),
    )


def _add_missing_page(board: Board) -> None:
    """After all else that NiceGUI serves. Its own page would write the address into the log, as whoever made a link to
    it has chosen."""

    @ui.page("/{path:path}")
    async def missing(path: str) -> None:
        MissingPage(board).build()


def _add_pages(board: Board) -> None:
    @ui.page("/")
    async def jobs(state: str = "", name: str = "", page: str = "") -> None:
        chosen = JobState(state) if state in list(JobState) else None
        number = int(page[:10]) if page.isascii() and page.isdecimal() else 0
        await JobsPage(board, Query(chosen, name, min(number, LAST_PAGE))).build()

    @ui.page("/submit")
    async def new_job() -> None:
        SubmitPage(board).build()

    @ui.page("/jobs/{job_id:path}")
    async def job(job_id: str) -> None:
        await JobPage(board, job_id).build()
