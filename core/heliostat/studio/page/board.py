"""What all pages of one Studio share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat.studio.page.listed import JobList, Query
from heliostat.studio.page.pace import Pace
from heliostat.studio.page.sharing import Sharing
from heliostat.studio.page.watched import WatchedJob

if TYPE_CHECKING:
    from heliostat.studio.studio import Studio


class Board:
    def __init__(self, studio: Studio, stylesheet: str) -> None:
        """`stylesheet`: the address of the style sheet of all pages."""
        self.stylesheet = stylesheet
        self.studio = studio
        self.pace = Pace()
        self.jobs: Sharing[str, WatchedJob] = Sharing(
            lambda job_id: WatchedJob(studio.manager, studio.repository, job_id)
        )
        self.lists: Sharing[Query, JobList] = Sharing(
            lambda query: JobList(studio.manager, studio.repository, self.jobs, query)
        )

    def close(self) -> None:
        """The web process is ending."""
        self.lists.close()
        self.jobs.close()
