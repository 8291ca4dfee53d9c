"""What one output stream of a command says: forwarded to the log up to a limit, and its end kept."""

from __future__ import annotations

from collections.abc import Callable

TAIL = 8 << 10
"""Bytes at the end of a stream that are kept for the result."""
LOG_LIMIT = 4 << 20
"""Bytes of each stream that are forwarded to the log as they come."""
LONGEST_LINE = 64 << 10
"""Bytes after which a line is taken to be complete, so that a stream without line ends needs no memory."""


class Transcript:
    """One stream, fed block by block. `log` gets text of whole lines.

    A carriage return ends a line as a newline does: programs rewrite their status line with it.
    """

    def __init__(self, stream: str, log: Callable[[str, str], None], *, limit: int = LOG_LIMIT) -> None:
        self._stream = stream
        self._log = log
        self._limit = limit
        self._pending = b""
        self._end = b""
        self._withheld = b""
        self._forwarded = 0
        self._left_out = 0

    def feed(self, data: bytes) -> bytes:
        """Take what was read; returns the lines that are now complete, with their ends, to be searched for progress."""
        self._end = data[-TAIL:] if len(data) >= TAIL else (self._end + data)[-TAIL:]
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if end:
            lines = self._pending + data[:end]
            self._pending = data[end:]
        else:
            lines = b""
            self._pending += data
        if len(self._pending) > LONGEST_LINE:
            self._forward(lines + self._pending + b"\n")
            self._pending = b""
        elif lines:
            self._forward(lines)
        return lines

    def close(self) -> bytes:
        """The stream ended; returns its last line if that has no end."""
        rest, self._pending = self._pending, b""
        if rest:
            self._forward(rest + b"\n")
        if self._left_out:
            shown, notice = self._withheld, ""
            if self._left_out > len(shown):
                shown = shown[shown.find(b"\n") + 1 :]
                notice = f"[{self._left_out - len(shown)} bytes of {self._stream} left out]\n"
            self._log(self._stream, notice + _text(shown))
        return rest

    @property
    def tail(self) -> str:
        """The last TAIL bytes, without a broken character at the front."""
        return _text(self._end)

    def _forward(self, lines: bytes) -> None:
        if self._left_out or self._forwarded + len(lines) > self._limit:
            self._left_out += len(lines)
            self._withheld = (self._withheld + lines)[-TAIL:] if len(lines) < TAIL else lines[-TAIL:]
        else:
            self._forwarded += len(lines)
            self._log(self._stream, _text(lines))


def _text(data: bytes) -> str:
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:].decode("utf-8", "replace")
