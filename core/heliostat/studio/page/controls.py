"""The buttons of a job: they do what the state allows, say why they do not, and ask before what cannot be undone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from nicegui import ui

from heliostat import ChunkState, JobState
from heliostat.errors import HeliostatError, JobNotFound
from heliostat.studio.page.cells import STATES
from heliostat.studio.page.elements import Tag

if TYPE_CHECKING:
    from heliostat import JobManager, JobStatus
    from heliostat.studio.page.picture import JobPicture

_ACTIVE: Final = (JobState.PENDING, JobState.RUNNING)


class Controls:
    def __init__(self, manager: JobManager, job_id: str) -> None:
        self._manager = manager
        self._id = job_id
        self._refusals: dict[str, str | None] = {}
        """Why a button does nothing at the moment, by its name."""
        with Tag("div", classes="actions", role="group", aria_label="What to do with the job"):
            self._buttons = {
                "Pause": self._button("Pause", lambda: manager.pause(job_id)),
                "Resume": self._button("Resume", lambda: manager.enqueue(job_id)),
                "Retry": self._button("Retry", lambda: manager.enqueue(job_id, failed_only=True)),
                "Cancel": self._button("Cancel", self._cancel, "grave"),
                "Delete": self._button("Delete", self._delete, "grave"),
            }
        self._cancelling = _Question(
            "Cancel this job?",
            "Chunks that run are ended, and what they have done so far is lost. Finished chunks stay; Resume goes"
            " on with them.",
            "Cancel the job",
        )
        self._deleting = _Question(
            "Delete this job?",
            "Its rows and logs are deleted for good. Films and chunks that it has made stay where they are.",
            "Delete the job",
        )

    def refresh(self, picture: JobPicture) -> None:
        self._refusals = refusals(picture.status, picture.cells.counts[STATES.index(ChunkState.FAILED)])
        for name, button in self._buttons.items():
            refusal = self._refusals[name]
            # Still to be reached with the keyboard, so that it can say why.
            button.set("aria-disabled", None if refusal is None else "true").set("title", refusal)
            button.set("aria-description", refusal)

    def _button(self, name: str, action: Callable[[], Awaitable[object]], classes: str = "") -> Tag:
        async def pressed() -> None:
            refusal = self._refusals.get(name)
            if refusal is not None:
                ui.notify(refusal)
                return
            try:
                await action()
            except JobNotFound:
                ui.notify("This job was deleted.")
            except HeliostatError as error:
                ui.notify(str(error), type="negative", multi_line=True)

        return Tag("button", name, classes, type="button").on_click(pressed)

    async def _cancel(self) -> None:
        if await self._cancelling.ask():
            await self._manager.cancel(self._id)

    async def _delete(self) -> None:
        if await self._deleting.ask():
            await self._manager.delete(self._id)
            ui.navigate.to("/")


class _Question:
    def __init__(self, question: str, consequence: str, answer: str) -> None:
        with ui.dialog() as self._dialog, Tag("div", classes="panel small"):
            with Tag("header"):
                Tag("h2", question)
            Tag("p", consequence)
            with Tag("div", classes="answers"):
                keep = Tag("button", "Keep it", type="button", autofocus=True)
                keep.on_click(lambda: self._dialog.submit(False))
                Tag("button", answer, "grave", type="button").on_click(lambda: self._dialog.submit(True))
        self._dialog.props.update({"role": "alertdialog", "aria-label": question})

    async def ask(self) -> bool:
        return bool(await self._dialog)


def refusals(job: JobStatus, failed: int) -> dict[str, str | None]:
    """For each button, why it does nothing; None where it does."""
    state = job.state
    runs = state in _ACTIVE and not job.orphaned
    rests = "" if runs else f"The job is {'orphaned' if job.orphaned else state}"
    resume = retry = None
    if state is JobState.COMPLETED:
        resume = retry = "The job is completed: there is nothing left to render."
    elif runs:
        resume = retry = f"The job is {state} already."
    elif not failed and state is not JobState.FAILED:
        retry = "No chunk has failed. Resume renders what is missing."
    pause = cancel = None
    if not runs and not job.orphaned:
        pause = f"{rests}: nothing runs that could be paused."
        if state is not JobState.PAUSED:
            cancel = f"{rests}: there is nothing to cancel."
    elif job.wish is not None:
        asked = f"It was asked to {job.wish} already, and is about to."
        pause = asked
        cancel = asked if job.wish == "cancel" else None
    delete = "The job is running; cancel it first." if state is JobState.RUNNING and not job.orphaned else None
    if not runs and job.coordinator is not None:  # the last that a coordinator does is to give its lease back
        resume = resume or "Its coordinator is about to let go of it."
        retry = retry or resume
        delete = resume
    return {"Pause": pause, "Resume": resume, "Retry": retry, "Cancel": cancel, "Delete": delete}
