"""The head of a job's page: how far it is, how fast, what it costs, and what is the matter with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heliostat import AttemptState, JobState, plain
from heliostat.studio.page import wording
from heliostat.studio.page.elements import Bar, Tag

if TYPE_CHECKING:
    from heliostat.studio.page.picture import JobPicture

_STATS: Final = ("Chunks", "Running", "Frames/s", "Time left", "Elapsed", "Attempts", "Retries", "Failures", "Cost")


class Overall:
    def __init__(self) -> None:
        with Tag("section", classes="card overall", aria_label="Progress"):
            with Tag("div", classes="headline"):
                self._percent = Tag("span", "", "percent", id="percent")
                self._frames = Tag("span", "", "frames", id="frames")
            self._bar = Bar("Frames", "large")
            with Tag("dl", classes="stats"):
                self._stats = {name: self._stat(name) for name in _STATS}
            self._error = Tag("p", "", "notice bad", id="error", tabindex=0).show(False)
            self._note = Tag("p", "", "notice", id="note").show(False)

    def _stat(self, name: str) -> Tag:
        with Tag("div"):
            Tag("dt", name)
            return Tag("dd", "", data_stat=name)

    def refresh(self, picture: JobPicture) -> None:
        status, metrics = picture.status, picture.status.metrics
        total = status.spec.metadata.total_frames
        frames = f"{int(picture.frames_done):,} of {total:,} frames"
        self._percent.say(f"{int(picture.percent)} %")
        self._frames.say(frames)
        self._bar.fill(picture.percent, wording.state(status), frames)
        running = len(picture.cells.running)
        at_once = picture.concurrency if picture.is_running else None
        for name, text in {
            "Chunks": f"{picture.completed_chunks:,} / {status.total_chunks:,}",
            "Running": f"{running:,}" if at_once is None else f"{running:,} of {at_once:,}",
            "Frames/s": wording.speed(picture.rate),
            "Time left": wording.clock(picture.eta),
            "Elapsed": wording.clock(picture.elapsed),
            "Attempts": f"{metrics.attempts:,}",
            "Retries": f"{metrics.retries:,}",
            "Failures": f"{picture.failures.count:,}",
            "Cost": wording.cost(metrics.cost_usd),
        }.items():
            looks = "none" if text in ("0", wording.UNKNOWN) else "bad" if name == "Failures" else "some"
            self._stats[name].say(text).mark_as(looks)
        error = plain(status.error or "") if status.state is JobState.FAILED else ""
        self._error.say(error).show(bool(error))
        note = _note(picture)
        self._note.say(note).show(bool(note))


def _note(picture: JobPicture) -> str:
    """What a visitor may wonder about."""
    status = picture.status
    notes = []
    if status.orphaned:
        notes.append(
            "Nobody runs this job: its coordinator has died. A coordinator takes it up again, or press Resume."
        )
    elif status.state is JobState.RUNNING and status.wish is not None:
        notes.append(
            "Chunks that run are finished first." if wording.state(status) == "pausing" else "It is being cancelled."
        )
    elif picture.merging is not None:
        notes.append(f"All chunks are there and are being joined: {picture.merging}.")
    elif status.state is JobState.PENDING:
        notes.append("It waits for a coordinator.")
    if picture.run is not None and picture.concurrency is not None and picture.concurrency < picture.run.concurrency:
        notes.append(f"The platform throttles: {picture.concurrency:,} instead of {picture.run.concurrency:,} at once.")
    notes += [f"Not told any more: {said}." for said in picture.lost_observers]
    return " ".join(notes)


def describe_chunk(picture: JobPicture, index: int) -> str:
    """A few lines."""
    chunk, cells = picture.status.spec.chunks[index], picture.cells
    state, attempts = cells.state(index), cells.attempts(index)
    again = f" · attempt {attempts}" if attempts > 1 else ""
    lines = [f"Chunk {plain(str(chunk.id))}", f"{state}{again}"]
    if index in cells.running:
        lines.append(f"{int(cells.running[index]):,} of {wording.count(chunk.frame_count, 'frame')}")
    else:
        lines.append(wording.count(chunk.frame_count, "frame"))
    if index in picture.workers:
        lines.append(f"on {picture.workers[index]}")
    return "\n".join(lines)


def describe_attempt(picture: JobPicture, index: int, number: int, state: AttemptState, seconds: float) -> str:
    """A few lines."""
    chunk = plain(str(picture.status.spec.chunks[index].id))
    ending = "for" if state is AttemptState.RUNNING else "after"
    return f"Chunk {chunk}, attempt {number}\n{state} {ending} {wording.took(seconds)}"
