"""A picture at the foot of the terminal that is drawn anew several times a second, from a thread of its own."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Callable
from typing import IO, Protocol

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

REFRESH_EVERY = 0.125
"""Seconds between pictures."""


class Picture(Protocol):
    """A rich renderable that knows, once drawn, how wide each of its lines is."""

    widths: list[int]


class Display:
    """Draws what `picture()` returns, between `start` and `stop`. Never raises: what cannot be drawn is not drawn."""

    def __init__(self, picture: Callable[[], Picture], file: IO[str] | None = None) -> None:
        """`file`: a terminal other than stderr."""
        self._picture = picture
        self._console = _Terminal(file=file, stderr=file is None, highlight=False, markup=False, emoji=False)
        self._live: Live | None = None
        self._drawn: Picture | None = None
        self._columns = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._live is not None:
            return
        live = self._live = Live(
            get_renderable=self._next,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            vertical_overflow="crop",
        )
        atexit.register(self.stop)
        with contextlib.suppress(Exception):
            live.start(refresh=True)
            self._over = threading.Event()
            self._thread = threading.Thread(
                target=self._refresh, args=(live, self._over), name="heliostat display", daemon=True
            )
            self._thread.start()

    def say(self, line: Text) -> None:
        """Write a line that stays, above the picture."""
        with contextlib.suppress(Exception):
            self._console.print(line, soft_wrap=True)

    def stop(self) -> None:
        """Wipe the picture away."""
        live, self._live = self._live, None
        if live is None:
            return
        atexit.unregister(self.stop)
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=1)
        with contextlib.suppress(Exception):
            live.stop()

    def _refresh(self, live: Live, over: threading.Event) -> None:
        with contextlib.suppress(Exception):
            while not over.wait(REFRESH_EVERY):
                with self._console:
                    self._wipe_wrapped_lines()
                    live.refresh()

    def _next(self) -> RenderableType:
        self._drawn = self._picture()
        return self._drawn  # type: ignore[return-value]

    def _wipe_wrapped_lines(self) -> None:
        """A terminal that got narrower has wrapped the old picture into more lines than rich knows of."""
        columns = self._console.width
        if self._drawn is not None and 0 < columns < self._columns:
            more = sum(max(0, -(-width // columns) - 1) for width in self._drawn.widths)
            self._console.control(Control(*((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)) * more))
        self._columns = columns


class _Terminal(Console):
    @property  # type: ignore[misc]  # rich's has a setter, which nobody calls
    def size(self) -> ConsoleDimensions:
        """Of the terminal that is written on; rich asks the one that is read from."""
        try:
            columns, lines = os.get_terminal_size(self.file.fileno())
        except (OSError, ValueError):
            columns = lines = 0
        return ConsoleDimensions(columns, lines) if columns and lines else super().size

    def show_cursor(self, show: bool = True) -> bool:
        """The cursor stays visible, so that a process that is killed leaves nothing to restore."""
        return False
