"""The sinks `bar` and `lines`."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from heliostat.builtin.console import BarOptions, LinesOptions, make_bar, make_lines
from heliostat.builtin.console.bar import BarSink
from heliostat.builtin.console.frame import Frame
from heliostat.builtin.console.lines import FAILURES_PER_INTERVAL, LinesSink
from heliostat.builtin.console.terminal import plain, plain_lines
from heliostat.builtin.console.view import JobView
from heliostat.builtin.console.wording import clock, rate, seen_from_here, took
from heliostat.model import events
from heliostat.model.cause import Cause
from heliostat.model.result import ChunkResult
from heliostat.model.status import JobState
from heliostat.testing.progress import Make, ProgressSinkContract


def tell(kind: type[Any], **fields: Any) -> Any:
    return kind(job_id="j1", time=time.time(), **fields)


def started(**changes: Any) -> events.JobStarted:
    fields: dict[str, Any] = {
        "name": "sunrise",
        "completed_chunks": 0,
        "total_chunks": 10,
        "completed_frames": 0,
        "total_frames": 240,
        "concurrency": 2,
        "worker": "local",
    }
    event: events.JobStarted = tell(events.JobStarted, **(fields | changes))
    return event


def chunk_started(index: int, attempt: int = 1, **changes: Any) -> Any:
    return tell(
        events.ChunkStarted, **({"chunk": index, "index": index, "attempt": attempt, "frame_count": 24} | changes)
    )


def chunk_progressed(index: int, frames: float, attempt: int = 1) -> Any:
    return tell(events.ChunkProgressed, chunk=index, index=index, attempt=attempt, frames_done=frames, frame_count=24)


def chunk_succeeded(index: int, completed: int) -> Any:
    return tell(
        events.ChunkSucceeded,
        chunk=index,
        index=index,
        attempt=1,
        completed_chunks=completed,
        total_chunks=10,
        progress=completed * 10,
        frame_count=24,
        result=ChunkResult(exit_code=0, duration=1.0),
    )


def progressed(frames: float = 137, chunks: int = 5, **changes: Any) -> Any:
    fields = {
        "completed_chunks": chunks,
        "total_chunks": 10,
        "running_chunks": 2,
        "frames_done": frames,
        "total_frames": 240,
        "percent": 100 * frames / 240,
        "rate": 48.2,
        "eta": 65.0,
    }
    return tell(events.Progressed, **(fields | changes))


def attempt_failed(index: int = 3, retry_in: float | None = 0.8, **changes: Any) -> Any:
    fields = {
        "chunk": index,
        "index": index,
        "attempt": 1,
        "cause": Cause.COMMAND_FAILED,
        "message": "exit status 1",
        "stderr_tail": "loading\nboom: no such texture\n",
        "retry_in": retry_in,
    }
    return tell(events.AttemptFailed, **(fields | changes))


def chunk_failed(index: int = 3) -> Any:
    return tell(
        events.ChunkFailed, chunk=index, index=index, attempts=3, cause=Cause.COMMAND_FAILED, message="exit status 1"
    )


def ended(state: JobState = JobState.COMPLETED, **changes: Any) -> Any:
    fields = {"state": state, "completed_chunks": 10, "total_chunks": 10, "duration": 5.0}
    return tell(events.JobEnded, **(fields | changes))


def view_after(*told: Any, **start: Any) -> JobView:
    view = JobView(started(**start))
    for event in told:
        view.apply(event)
    return view


def draw(*views: JobView, width: int = 80, height: int = 24, rows: int | None = None, **console: Any) -> list[str]:
    file = io.StringIO()
    terminal = Console(file=file, width=width, height=height, highlight=False, markup=False, **console)
    terminal.print(Frame(list(views), rows=rows), end="")
    return file.getvalue().splitlines()


class TestFrame:
    def test_tells_frames_percent_rate_eta_and_chunks_in_80_columns(self) -> None:
        view = view_after(chunk_started(5), chunk_started(6), chunk_progressed(5, 20), progressed())
        overall, numbers, *chunks = draw(view)
        assert re.fullmatch(r"sunrise +[━╸]+ +57 % 137/240 frames", overall)
        assert numbers.startswith("5/10 chunks · 48.2 frames/s · 1:05 left · 2 running · 0:00 elapsed")
        assert [re.sub("[━╸╺ ]+", " ", line).strip() for line in chunks] == ["chunk 5 20/24", "chunk 6 0/24"]

    def test_a_chunk_tried_again_says_which_attempt_it_is(self) -> None:
        lines = draw(view_after(chunk_started(5, attempt=2)))
        assert lines[-1].endswith("0/24 · attempt 2")

    def test_shows_as_many_running_chunks_as_fit_and_counts_the_others(self) -> None:
        view = view_after(*(chunk_started(index) for index in range(50)))
        lines = draw(view, height=10)
        assert len(lines) == 9
        assert lines[-1].strip() == "and 44 more"
        assert "chunk 5 " in lines[-2]

    def test_shows_no_more_rows_than_the_option_allows(self) -> None:
        view = view_after(*(chunk_started(index) for index in range(50)))
        lines = draw(view, rows=3)
        assert len(lines) == 2 + 3
        assert lines[-1].strip() == "and 48 more"
        assert len(draw(view, rows=0)) == 2

    def test_counts_retries_and_given_up_chunks_and_tells_the_last_cause(self) -> None:
        view = view_after(attempt_failed(), attempt_failed(), attempt_failed(retry_in=None), chunk_failed())
        assert draw(view, width=120)[2] == (
            "2 retries · 1 failed chunk · chunk 3, attempt 1: command_failed: exit status 1 · boom: no such texture"
        )

    def test_says_what_was_done_before(self) -> None:
        assert "4 done before" in draw(view_after(completed_chunks=4, completed_frames=96))[1]

    def test_says_that_the_platform_throttles_until_it_no_longer_does(self) -> None:
        view = view_after(tell(events.ConcurrencyChanged, concurrency=1))
        assert "throttled to 1 at once" in draw(view)[1]
        view.apply(tell(events.ConcurrencyChanged, concurrency=2))
        assert "throttled" not in draw(view)[1]

    def test_says_that_chunks_are_being_joined(self) -> None:
        assert draw(view_after(tell(events.MergeStarted, how="ffmpeg")))[1].startswith("joining 10 chunks · ffmpeg ·")

    def test_while_chunks_are_joined_all_frames_are_there(self) -> None:
        view = view_after(progressed(231, 9), chunk_succeeded(9, 10), tell(events.MergeStarted, how="ffmpeg"))
        assert draw(view)[0].endswith("100 % 240/240 frames")

    def test_a_job_without_frames_is_full(self) -> None:
        view = view_after(total_frames=0, total_chunks=0)
        assert "100 %" in draw(view)[0]

    @pytest.mark.parametrize("width", [1, 2, 5, 10, 20, 39, 40, 60, 80, 200])
    @pytest.mark.parametrize("height", [1, 2, 3, 5, 24])
    def test_fits_any_terminal(self, width: int, height: int) -> None:
        view = view_after(
            *(chunk_started(index, chunk=f"日本語-{index}") for index in range(8)),
            attempt_failed(2),
            progressed(),
            name="日の出 🌅 " * 5,
        )
        lines = draw(view, view, width=width, height=height)
        assert 1 <= len(lines) <= max(1, height - 1)
        assert all(cell_len(line) <= max(1, width - 1) for line in lines)

    def test_is_readable_without_colour(self) -> None:
        view = view_after(chunk_started(5), progressed())
        coloured = "\n".join(draw(view, force_terminal=True, color_system="truecolor"))
        plain_ = "\n".join(draw(view, force_terminal=True, color_system="truecolor", no_color=True))
        assert "\x1b[36m" in coloured
        assert not re.search(r"\x1b\[[\d;]*(3[0-7]|9[0-7])m", plain_)
        assert "57 %" in plain_

    def test_draws_with_ascii_where_there_is_no_unicode(self) -> None:
        file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
        Console(file=file, width=80, height=24).print(Frame([view_after(progressed())]))
        file.flush()
        assert b"-----" in file.buffer.getvalue()

    def test_a_late_report_of_an_earlier_attempt_changes_nothing(self) -> None:
        view = view_after(chunk_started(5, attempt=2), chunk_progressed(5, 20, attempt=1), chunk_progressed(9, 20))
        assert view.running[5].frames_done == 0

    def test_what_fails_or_succeeds_is_no_longer_running(self) -> None:
        view = view_after(chunk_started(1), chunk_started(2), chunk_started(3))
        view.apply(chunk_succeeded(1, 1))
        view.apply(attempt_failed(2))
        assert list(view.running) == [3]
        assert view.completed_chunks == 1


class TestPlainText:
    @pytest.mark.parametrize(
        ("text", "seen"),
        [
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07rest", "rest"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x9b2Jcleared", "cleared"),
            ("\x1bP1;2|payload\x1b\\after", "after"),
            ("\x1bcreset", "reset"),
            ("\x1b(0lines", "lines"),
            ("a\tb\nc\x00\x07\x7fd", "a b cd"),
            ("evil\u202etxt.exe\u2066", "eviltxt.exe"),
            ("unfinished \x1b[", "unfinished"),
            ("lone \x1b", "lone"),
            ("日本語 é 🌅", "日本語 é 🌅"),
        ],
    )
    def test_keeps_nothing_that_a_terminal_acts_on(self, text: str, seen: str) -> None:
        assert plain(text) == seen

    def test_of_a_line_drawn_over_and_over_the_last_is_kept(self) -> None:
        assert plain_lines("one\r\n  10%\r  50%\r  99%\nthree\n\n") == ["one", "  99%", "three"]

    def test_no_text_of_a_job_reaches_the_terminal_as_a_command(self) -> None:
        evil = "\x1b[2J\x1b]0;pwned\x07\u202e"
        view = view_after(
            chunk_started(1, chunk=f"{evil}c"),
            attempt_failed(2, chunk=f"{evil}c", message=f"{evil}m", stderr_tail=f"{evil}s\n"),
            tell(events.MergeStarted, how=f"{evil}x"),
            name=f"{evil}name",
        )
        text = "\n".join(draw(view))
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "name" in text


class TestWording:
    def test_durations_rates_and_paths(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert [clock(s) for s in (0, 5.4, 65, 3723)] == ["0:00", "0:05", "1:05", "1:02:03"]
        assert [took(s) for s in (4.21, 61)] == ["4.2 s", "1:01"]
        assert [rate(r) for r in (0.5, 48.24, 1234.5)] == ["0.50 frames/s", "48.2 frames/s", "1,234 frames/s"]
        monkeypatch.chdir(tmp_path)
        assert seen_from_here("film.mp4", "job") == "job/film.mp4"
        assert seen_from_here("film.mp4", None) == "film.mp4"
        assert seen_from_here("film.mp4", "/elsewhere") == "/elsewhere/film.mp4"
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        assert seen_from_here("film.mp4", None) == "film.mp4"


class TestLines:
    def test_says_start_progress_failures_join_and_end(self, capsys: pytest.CaptureFixture[str]) -> None:
        sink = LinesSink(interval=0, job_dir="films")
        for event in (
            started(completed_chunks=4, completed_frames=96),
            progressed(),
            attempt_failed(),
            attempt_failed(retry_in=None),
            chunk_failed(),
            tell(events.ConcurrencyChanged, concurrency=1),
            tell(events.ObserverFailed, observer="x", message="y"),
            tell(events.MergeStarted, how="ffmpeg"),
            progressed(240, 10, eta=None),
            ended(output="sunrise.mp4"),
        ):
            sink.handle(event)
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines() == [
            "sunrise: 10 chunks, 240 frames, 2 at once on local; 4 chunks are there already",
            "sunrise: 57 %, 137/240 frames, 5/10 chunks, 0 running, 48.2 frames/s, 1:05 left",
            "sunrise: chunk 3, attempt 1: command_failed: exit status 1 · boom: no such texture; next attempt in 0.8 s",
            "sunrise: chunk 3, attempt 1: command_failed: exit status 1 · boom: no such texture",
            "sunrise: chunk 3 is given up after 3 attempts",
            "sunrise: now at most 1 chunk at once",
            "sunrise: joining 10 chunks (ffmpeg)",
            "sunrise: 100 %, 240/240 frames, 10/10 chunks, 0 running, 48.2 frames/s",
            "sunrise: films/sunrise.mp4, 144 of 240 frames in 5.0 s, 28.8 frames/s, 1 retry, 1 failed chunk",
        ]

    @pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.PAUSED])
    def test_says_how_a_run_ended_that_made_no_film(self, state: JobState, capsys: pytest.CaptureFixture[str]) -> None:
        sink = LinesSink()
        sink.handle(started())
        sink.handle(ended(state, completed_chunks=5))
        assert capsys.readouterr().err.splitlines()[-1] == f"sunrise: {state} after 5.0 s, 0 %, 5/10 chunks"

    def test_is_silent_between_intervals(self, capsys: pytest.CaptureFixture[str]) -> None:
        sink = LinesSink(interval=3600)
        sink.handle(started())
        for frames in range(240):
            sink.handle(progressed(frames))
        assert len(capsys.readouterr().err.splitlines()) == 1

    def test_says_nothing_again_that_has_not_changed(self, capsys: pytest.CaptureFixture[str]) -> None:
        sink = LinesSink(interval=0)
        sink.handle(started())
        for eta in (65.0, 64.0, 63.0):
            sink.handle(progressed(eta=eta))
        assert len(capsys.readouterr().err.splitlines()) == 2

    def test_a_flood_of_failures_is_counted(self, capsys: pytest.CaptureFixture[str]) -> None:
        sink = LinesSink(interval=3600)
        sink.handle(started())
        for index in range(1000):
            sink.handle(attempt_failed(index))
            sink.handle(chunk_failed(index))
        assert len(capsys.readouterr().err.splitlines()) == 1 + 2 * FAILURES_PER_INTERVAL

    def test_tells_two_jobs_apart(self, capsys: pytest.CaptureFixture[str]) -> None:
        sink = LinesSink()
        for job in ("a", "b"):
            sink.handle(
                events.JobStarted(
                    **(
                        {f: getattr(started(name=job), f) for f in events.JobStarted.__struct_fields__}
                        | {"job_id": job}
                    )
                )
            )
        sink.handle(
            events.JobEnded(
                job_id="a", time=0, state=JobState.COMPLETED, completed_chunks=1, total_chunks=1, duration=1
            )
        )
        assert [line[0] for line in capsys.readouterr().err.splitlines()] == ["a", "b", "a"]

    def test_a_closed_stderr_harms_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        closed = io.StringIO()
        closed.close()
        monkeypatch.setattr(sys, "stderr", closed)
        LinesSink().handle(started())
        monkeypatch.setattr(sys, "stderr", None)
        LinesSink().handle(started())


class Terminal:
    """A pseudo-terminal whose output is read all the time."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self._master, slave = os.openpty()
        self.file: IO[str] = os.fdopen(slave, "w", encoding="utf-8")
        self.resize(columns, rows)
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, columns: int, rows: int = 24) -> None:
        fcntl.ioctl(self.file.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        raw = b""
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the other end is closed
                return
            raw += data
            self.output = raw.decode("utf-8", "replace").replace("\r\n", "\n")

    def shows(self, text: str) -> None:
        """Wait until `text` was written since the last picture began."""
        deadline = time.monotonic() + 30
        while text not in self.output:
            assert time.monotonic() < deadline, f"{text!r} does not come up in {self.output!r}"
            time.sleep(0.01)

    def close(self) -> None:
        self.file.close()
        self._reader.join(30)
        os.close(self._master)


def screen(output: str) -> list[str]:
    """What is seen after `output`: carriage returns, line feeds, cursor up and erase in line are obeyed."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", output):
        if token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif token == "\r":
            column = 0
        elif token.startswith("\x1b["):
            if token.endswith("A"):
                row = max(0, row - int(token[2:-1] or 1))
            elif token == "\x1b[2K":
                lines[row] = ""
            else:
                assert token.endswith("m"), f"the display sends {token!r}"
        else:
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]
            column += len(token)
    return [line.rstrip() for line in lines if line.rstrip()]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    terminal = Terminal()
    yield terminal
    terminal.close()


class TestBar:
    def test_leaves_one_line_and_a_terminal_as_it_was(self, terminal: Terminal) -> None:
        stderr = sys.stderr
        sink = BarSink(file=terminal.file)
        sink.handle(started())
        sink.handle(chunk_started(5))
        sink.handle(progressed())
        terminal.shows("137/240 frames")
        sink.handle(attempt_failed(retry_in=None))
        sink.handle(chunk_failed())
        sink.handle(progressed(240, 10))
        sink.handle(ended(output="sunrise.mp4"))
        terminal.shows("✓")
        assert screen(terminal.output) == [
            "given up: chunk 3, attempt 1: command_failed: exit status 1 · boom: no such texture",
            "✓ sunrise: sunrise.mp4, 240 frames in 5.0 s, 48.0 frames/s, 1 failed chunk",
        ]
        assert sys.stderr is stderr
        assert "\x1b[?" not in terminal.output  # no mode of the terminal was changed, the cursor never hidden

    def test_what_others_write_on_stderr_stays_above(self, terminal: Terminal) -> None:
        sink = BarSink(file=terminal.file)
        sink.handle(started())
        print("a warning", file=sys.stderr)
        terminal.shows("a warning")
        sink.handle(ended(JobState.PAUSED))
        terminal.shows("‖")
        assert screen(terminal.output) == ["a warning", "‖ sunrise: paused after 5.0 s, 0 %, 10/10 chunks"]

    def test_shows_several_jobs_until_each_has_ended(self, terminal: Terminal) -> None:
        sink = BarSink(file=terminal.file)
        fields = {name: getattr(started(), name) for name in events.JobStarted.__struct_fields__}
        for job in ("a", "b"):
            sink.handle(events.JobStarted(**(fields | {"job_id": job, "name": f"film {job}"})))
        terminal.shows("film b")
        for job, state in (("a", JobState.FAILED), ("b", JobState.CANCELLED)):
            sink.handle(
                events.JobEnded(job_id=job, time=0, state=state, completed_chunks=1, total_chunks=10, duration=1)
            )
        terminal.shows("cancelled")
        assert screen(terminal.output) == [
            "✗ film a: failed after 1.0 s, 0 %, 1/10 chunks",
            "✗ film b: cancelled after 1.0 s, 0 %, 1/10 chunks",
        ]

    def test_goes_on_in_a_terminal_that_gets_narrower_and_lower(self, terminal: Terminal) -> None:
        sink = BarSink(file=terminal.file)
        sink.handle(started())
        sink.handle(progressed(100))
        terminal.shows("100/240")
        terminal.resize(30, 3)
        sink.handle(progressed(150))
        terminal.shows("150/240")
        # The old picture, 79 columns wide, now fills more lines than it had; so many more are wiped.
        assert re.search(r"(\x1b\[2K\x1b\[1A){3}\r\x1b\[2K", terminal.output)
        terminal.resize(1, 1)
        terminal.resize(200, 50)
        sink.handle(progressed(200))
        terminal.shows("200/240")
        sink.handle(ended())
        terminal.shows("✓")

    def test_a_terminal_that_is_gone_harms_nothing(self) -> None:
        class Broken(io.StringIO):
            def isatty(self) -> bool:
                return True

            def write(self, text: str, /) -> int:
                raise OSError(5, "Input/output error")

        sink = BarSink(file=Broken())
        for event in (started(), progressed(), attempt_failed(retry_in=None), chunk_failed(), ended()):
            sink.handle(event)
        assert not isinstance(sys.stderr, Broken)

    def test_events_of_a_job_that_was_never_announced_are_passed_over(self) -> None:
        file = io.StringIO()
        BarSink(file=file).handle(progressed())
        assert file.getvalue() == ""


class TestBarSink(ProgressSinkContract):
    @pytest.fixture
    def under_test(self, terminal: Terminal) -> Make:
        return lambda: BarSink(file=terminal.file)


class TestLinesSink(ProgressSinkContract):
    @pytest.fixture
    def under_test(self) -> Make:
        return lambda: LinesSink(interval=0)


class TestChoice:
    def test_bar_is_plain_lines_where_stderr_is_no_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        assert isinstance(make_bar(BarOptions()), LinesSink)
        assert isinstance(make_lines(LinesOptions()), LinesSink)

    def test_bar_is_plain_lines_on_a_dumb_terminal(self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", terminal.file)
        assert isinstance(make_bar(BarOptions()), BarSink)
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(make_bar(BarOptions()), LinesSink)
