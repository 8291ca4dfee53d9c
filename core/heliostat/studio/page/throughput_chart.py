"""Frames a second over the time of a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from nicegui import ui

from heliostat.studio.page.elements import Tag
from heliostat.studio.page.wording import clock, rate

if TYPE_CHECKING:
    from heliostat.studio.page.picture import JobPicture
    from heliostat.studio.page.throughput import Throughput

DRAW_EVERY: Final = 2.0
"""Seconds between two drawings."""
_QUIET: Final = "#8a857b"
"""Of lines, to be seen on light and on dark ground. No colour is read well on both: texts have that of the style
sheet."""
_LINE: Final = "#8a857b40"


class ThroughputCard:
    """Empty until `begin`: the library that draws the chart is large, and the page is there before it."""

    def __init__(self) -> None:
        self._chart: ui.echart | None = None
        self._may_draw = False
        self._drawn = float("-inf")
        self._shown: Throughput | None = None
        with Tag("section", classes="card", aria_labelledby="throughput-head") as self._card:
            with Tag("header"):
                Tag("h2", "Throughput", id="throughput-head")
                self._legend = Tag("div", "", "legend")
            self._place = Tag("div", classes="chart", role="img")
        with self._legend:
            Tag("span", "frames/s", "rate")
            Tag("span", "chunks at once", "at-once")
        self._card.show(False)

    def begin(self) -> None:
        self._may_draw = True

    def refresh(self, picture: JobPicture) -> None:
        if not self._may_draw or time.monotonic() - self._drawn < DRAW_EVERY:
            return
        self._drawn = time.monotonic()
        throughput = picture.throughput()
        if throughput is None or len(throughput.rate) < 2 or throughput == self._shown:
            return
        self._shown = throughput
        if self._chart is None:  # not while it is hidden, and has no size
            self._card.show(True)
            with self._place:
                self._chart = ui.echart(_options(), renderer="svg").classes("chart")  # which the style sheet reaches
        best = max(throughput.rate)
        span = clock(len(throughput.rate) * throughput.step)
        self._place.set("aria-label", f"Frames a second over {span}: at most {rate(best)}.")
        for series, values in zip(self._chart.options["series"], (throughput.rate, throughput.at_once), strict=True):
            series["data"] = [round(value, 2) for value in values]
        self._chart.options["xAxis"]["data"] = [clock(place * throughput.step) for place in range(len(throughput.rate))]
        self._chart.update()


def _options() -> dict[str, Any]:
    axis = {"axisLabel": {"fontSize": 11}, "splitLine": {"lineStyle": {"color": _LINE}}}
    return {
        "animation": False,
        "grid": {"left": 8, "right": 8, "top": 12, "bottom": 4, "containLabel": True},
        "tooltip": {"trigger": "axis", "confine": True, "transitionDuration": 0},
        "xAxis": {
            "type": "category",
            "boundaryGap": False,
            "data": [],
            "axisLabel": {"fontSize": 11},
            "axisLine": {"lineStyle": {"color": _LINE}},
            "axisTick": {"show": False},
        },
        "yAxis": [
            {"type": "value", "min": 0, **axis},
            {"type": "value", "min": 0, "minInterval": 1, **axis, "splitLine": {"show": False}},
        ],
        "series": [
            {
                "name": "frames/s",
                "type": "line",
                "showSymbol": False,
                "data": [],
                "lineStyle": {"width": 2, "color": "#e8a317"},
                "itemStyle": {"color": "#e8a317"},
                "areaStyle": {"color": "#e8a317", "opacity": 0.16},
            },
            {
                "name": "chunks at once",
                "type": "line",
                "step": "middle",
                "showSymbol": False,
                "yAxisIndex": 1,
                "data": [],
                "lineStyle": {"width": 1, "color": _QUIET, "type": "dashed"},
                "itemStyle": {"color": _QUIET},
            },
        ],
    }
