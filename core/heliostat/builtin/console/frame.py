"""One picture of the live display: jobs as text and bars that fit a terminal of any size."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from heliostat.builtin.console.view import JobView
from heliostat.builtin.console.wording import clock, count, rate

_SEPARATOR = " · "
_LONGEST_NAME = 24
_SHORTEST_BAR = 12


class Frame:
    """A rich renderable. Remembers how wide its lines were, for who has to wipe it after the terminal got narrower."""

    def __init__(self, views: list[JobView], *, rows: int | None = None) -> None:
        self._views = views
        self._rows = rows
        self.widths: list[int] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # One column stays free: where a full line leaves the cursor is something that terminals disagree on.
        options = options.update(width=max(1, options.max_width - 1), no_wrap=True, overflow="ellipsis")
        height = max(1, options.size.height - 1)
        lines: list[list[Segment]] = []
        for number, view in enumerate(self._views):
            room = (height - len(lines)) // (len(self._views) - number)
            lines += _picture(view, console, options, max(1, room), self._rows)
        lines = lines[:height]
        self.widths = [Segment.get_line_length(line) for line in lines]
        for line in lines:
            yield from line
            yield Segment.line()


@dataclass
class _Row:
    """A name, a bar, and what there is of it."""

    name: str
    done: float
    total: float
    percent: str
    frames: str
    overall: bool = False


def _picture(
    view: JobView, console: Console, options: ConsoleOptions, height: int, most_rows: int | None
) -> list[list[Segment]]:
    """About `height` lines on one job."""
    notes = [Text(_numbers(view, options.max_width))]
    if view.last_failure is not None:
        notes.append(Text(_troubles(view), "red" if view.failed_chunks else "yellow"))
    room = height - 1 - len(notes)
    limit = room if most_rows is None else min(room, most_rows)
    running = [view.running[index] for index in sorted(view.running)]
    shown = running if len(running) <= limit else running[: max(0, limit - 1)]
    rows = [
        _Row(
            _short(view.name),
            view.frames_done,
            view.total_frames,
            f"{int(view.percent)} %",
            f"{int(view.frames_done):,}/{view.total_frames:,} frames",
            overall=True,
        )
    ]
    for chunk in shown:
        again = f"{_SEPARATOR}attempt {chunk.attempt}" if chunk.attempt > 1 else ""
        frames = f"{int(chunk.frames_done):,}/{chunk.frame_count:,}{again}"
        rows.append(_Row("  " + _short(f"chunk {chunk.name}"), chunk.frames_done, chunk.frame_count, "", frames))
    lines = _bars(rows, console, options)
    if len(running) > len(shown) and limit > 0:
        more = f"  and {len(running) - len(shown):,} more"
        lines += console.render_lines(Text(more, "dim"), options, pad=False)
    overall, *chunks = lines
    return [overall, *(line for note in notes for line in console.render_lines(note, options, pad=False)), *chunks]


def _bars(rows: list[_Row], console: Console, options: ConsoleOptions) -> list[list[Segment]]:
    """Rows in columns; without bars where these would get too short."""
    columns = ([row.name for row in rows], [row.percent for row in rows], [row.frames for row in rows])
    widths = [max(map(cell_len, column)) for column in columns]
    bar_width = options.max_width - sum(widths) - 3
    lines = []
    for row in rows:
        strong = Style(bold=row.overall, dim=not row.overall)
        if bar_width < _SHORTEST_BAR:
            line = Text(" ".join(part for part in (row.name, row.percent, row.frames) if part), strong)
            lines += console.render_lines(line, options, pad=False)
            continue
        bar = ProgressBar(
            total=max(row.total, 1),
            completed=min(row.done, row.total) if row.total else 1,
            width=bar_width,
            style="bright_black",
            complete_style="cyan" if row.overall else "blue",
            finished_style="green" if row.overall else "blue",
        )
        drawn = [segment for line in console.render_lines(bar, options, pad=False) for segment in line]
        lines.append(
            [
                Segment(set_cell_size(row.name, widths[0]) + " ", strong),
                *Segment.adjust_line_length(drawn, bar_width),  # without colour, what is missing is not drawn
                Segment(f" {row.percent:>{widths[1]}} ", strong),
                Segment(row.frames, Style(dim=not row.overall)),
            ]
        )
    return lines


def _numbers(view: JobView, width: int) -> str:
    """Chunks, rate and time: as much as fits, the most telling first."""
    if view.merging is not None:
        parts = [f"joining {count(view.total_chunks, 'chunk')}", view.merging]
    else:
        parts = [f"{view.completed_chunks:,}/{view.total_chunks:,} chunks"]
        if view.rate:
            parts.append(rate(view.rate))
        if view.eta is not None:
            parts.append(f"{clock(view.eta)} left")
        if view.throttled:
            parts.append(f"throttled to {view.concurrency:,} at once")
        parts.append(f"{len(view.running):,} running")
    parts.append(f"{clock(view.elapsed)} elapsed")
    if view.started.completed_chunks:
        parts.append(f"{view.started.completed_chunks:,} done before")
    line = parts[0]
    for part in parts[1:]:
        if cell_len(f"{line}{_SEPARATOR}{part}") > width:
            break
        line += f"{_SEPARATOR}{part}"
    return line


def _troubles(view: JobView) -> str:
    parts = []
    if view.retries:
        parts.append(count(view.retries, "retry", "retries"))
    if view.failed_chunks:
        parts.append(count(view.failed_chunks, "failed chunk"))
    return _SEPARATOR.join([*parts, view.last_failure or ""])


def _short(text: str) -> str:
    short = Text(text)
    short.truncate(_LONGEST_NAME, overflow="ellipsis")
    return short.plain
