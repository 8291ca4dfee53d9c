"""What has failed and why, grouped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from heliostat import plain
from heliostat.studio.page.elements import Parts, Tag

if TYPE_CHECKING:
    from heliostat.studio.page.failures import Failure, Failures, Group
    from heliostat.studio.page.picture import JobPicture

SHOWN: Final = 12
"""Groups that are shown, the largest."""


class FailureCard:
    def __init__(self, on_open: Callable[[int], None]) -> None:
        """`on_open`: a chunk was chosen, by its index."""
        self._on_open = on_open
        self._shown: tuple[Failures | None, int] = (None, -1)
        with Tag("section", classes="card", aria_labelledby="failures-head") as self._card:
            with Tag("header"):
                Tag("h2", "Failures", id="failures-head")
                self._more = Tag("span", "", "legend")
            self._groups: Parts[tuple[str, str], _GroupView] = Parts(Tag("div", classes="failures", id="failures"))
        self._card.show(False)

    def refresh(self, picture: JobPicture) -> None:
        failures = picture.failures
        if self._shown == (failures, failures.version):
            return
        self._shown = (failures, failures.version)
        groups = failures.groups()
        self._card.show(bool(groups))
        left_out = len(groups) - SHOWN
        self._more.say(f"and {left_out:,} other messages" if left_out > 0 else "")
        shown = {(str(group.cause), group.message): group for group in groups[:SHOWN]}
        is_first = not list(self._groups)
        self._groups.arrange(shown, lambda key: _GroupView(shown[key], is_first and key == next(iter(shown))))
        for key, group in shown.items():
            self._groups[key].show(group, picture, self._on_open)


class _GroupView:
    def __init__(self, group: Group, is_open: bool) -> None:
        with Tag("details", data_cause=str(group.cause), open=is_open or None) as self.root:
            with Tag("summary"):
                self._times = Tag("span", "", "times")
                Tag("span", str(group.cause).replace("_", " "), "pill failed")
                Tag("span", group.message, "message")
            self._examples: Parts[tuple[int, int, float], _Example] = Parts(Tag("div"))

    def show(self, group: Group, picture: JobPicture, on_open: Callable[[int], None]) -> None:
        self._times.say(f"{group.count:,} ×")
        by_key = {(failure.index, failure.number, failure.time): failure for failure in group.examples}
        self._examples.arrange(by_key, lambda key: _Example(by_key[key], picture, on_open))


class _Example:
    def __init__(self, failure: Failure, picture: JobPicture, on_open: Callable[[int], None]) -> None:
        chunk = plain(str(picture.status.spec.chunks[failure.index].id))
        with Tag("div", classes="example") as self.root:
            with Tag("div", classes="where"):
                Tag("button", f"Chunk {chunk}", "link", type="button").on_click(lambda: on_open(failure.index))
                Tag("span", f"attempt {failure.number}, {datetime.fromtimestamp(failure.time):%H:%M:%S}")
            if failure.said:
                Tag("pre", failure.said, "said", tabindex=0, aria_label=f"What chunk {chunk} wrote last")
