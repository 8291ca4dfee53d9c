"""Plays the film and, while it is not yet there, the chunks that are finished."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nicegui import background_tasks

from heliostat import ChunkState, plain
from heliostat.studio.page import addresses
from heliostat.studio.page.elements import Tag

if TYPE_CHECKING:
    from heliostat.studio.page.picture import JobPicture

_VIDEOS: Final = (".mp4", ".m4v", ".webm", ".mov", ".mkv", ".ogv")
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif")


class Player:
    def __init__(self) -> None:
        self._picture: JobPicture
        self._index: int | None = None
        """The chunk that is shown; None for the film."""
        self._is_chosen = False
        """Whether the visitor has chosen or played it, so that it is not to be taken away."""
        self._shown: object = None
        with Tag("section", classes="card", aria_labelledby="film-head", id="film") as self._card:
            with Tag("header"):
                self._head = Tag("h2", "Film", id="film-head")
                self._link = Tag("a", "Download", download=True)
            self._video = Tag("video", controls=True, preload="none", playsinline=True, aria_labelledby="film-head")
            self._video.on("ended", self._go_on, [])
            self._video.on("play", self._played, [])
            self._image = Tag("img", classes="frame-picture", alt="").show(False)
            self._problem = Tag("p", "", "empty").show(False)
            with Tag("div", classes="player"):
                self._before = Tag("button", "◀", type="button", aria_label="The finished chunk before", title="Before")
                self._before.on_click(lambda: self._step(-1))
                self._after = Tag("button", "▶", type="button", aria_label="The next finished chunk", title="Next")
                self._after.on_click(lambda: self._step(1))
                self._name = Tag("span", "", id="playing")
                self._whole = Tag("button", "Whole film", type="button").on_click(lambda: self._choose(None))
        for shown in (self._video, self._image):
            shown.on("error", self._cannot, [])
        self._card.show(False)

    def refresh(self, picture: JobPicture) -> None:
        first = picture.cells.next(ChunkState.SUCCEEDED, -1)
        film = picture.status.output
        is_new = not self._card.visible
        self._picture = picture
        self._card.show(bool(film) or self._is_chosen or (first is not None and is_shown(picture, first)))
        if not self._card.visible:
            return
        if is_new or ((film is None) == (self._index is None) and not self._is_chosen):
            self._choose(None if film else first)
        elif self._index is not None and film and self._shown == (False, self._index):
            self._shown = (True, self._index)
            self._whole.show(True)  # it has come while chunks are watched
        self._place()

    def play(self, index: int) -> None:
        """A finished chunk, where the visitor sees it."""
        self._is_chosen = True
        self._card.show(True).run_method("scrollIntoView", {"block": "nearest"})
        self._choose(index, at_once=True)

    def _step(self, direction: int) -> None:
        cells = self._picture.cells
        index = -1 if self._index is None else self._index
        find = cells.next if direction > 0 else cells.before
        found = find(ChunkState.SUCCEEDED, index)
        if found is not None:
            self._is_chosen = True
            self._choose(found)

    def _played(self) -> None:
        self._is_chosen = True

    def _go_on(self) -> None:
        """A chunk has been played to its end: play the one after it."""
        if self._index is not None:
            found = self._picture.cells.next(ChunkState.SUCCEEDED, self._index)
            if found is not None:
                self._choose(found, at_once=True)

    def _choose(self, index: int | None, *, at_once: bool = False) -> None:
        self._index = index
        background_tasks.create(self._show(index, at_once), name="player")

    async def _show(self, index: int | None, at_once: bool) -> None:
        status = self._picture.status
        name = (status.output or "") if index is None else status.spec.chunks[index].output_file
        suffix = Path(name).suffix.lower()
        address = addresses.film(status.id) if index is None else addresses.output(status.id, index)
        is_here = await asyncio.to_thread((Path(status.settings.job_dir or ".") / name).is_file)
        if index != self._index:
            return  # another one was chosen meanwhile
        is_video, is_image = is_here and suffix in _VIDEOS, is_here and suffix in _PICTURES
        self._shown = (bool(status.output), index)
        self._video.show(is_video).set("autoplay", at_once or None)
        # The poster is the film's; of a chunk the browser is to show its own first frame.
        self._video.set("poster", addresses.poster(status.id) if is_video and index is None else None)
        self._video.set("preload", "none" if index is None else "metadata")
        self._video.set("src", address if is_video else None)
        self._image.show(is_image).set("src", address if is_image else None)
        self._image.set("alt", plain(name))
        self._link.set("href", address).show(is_here)
        self._problem.show(not (is_video or is_image))
        self._problem.say(
            f"{plain(name)} is not a film or picture that a browser shows."
            if is_here
            else f"{plain(name)} is not here."
        )
        chunk = "" if index is None else plain(str(status.spec.chunks[index].id))
        self._name.say("The whole film" if index is None else f"Chunk {chunk}")
        self._whole.show(index is not None and bool(status.output))
        self._place()

    def _place(self) -> None:
        cells = self._picture.cells
        index = -1 if self._index is None else self._index
        has_before = self._index is not None and cells.before(ChunkState.SUCCEEDED, index) is not None
        self._before.set("disabled", None if has_before else True)
        self._after.set("disabled", None if cells.next(ChunkState.SUCCEEDED, index) is not None else True)

    def _cannot(self) -> None:
        self._problem.say("This browser cannot play it; the download has it.").show(True)


def is_shown(picture: JobPicture, index: int) -> bool:
    """Whether a browser shows what a chunk makes."""
    return Path(picture.status.spec.chunks[index].output_file).suffix.lower() in (*_VIDEOS, *_PICTURES)
