"""Frames done, as a command's output tells them.

Understood are, at the start of a line of either stream:

- `openjd_progress: PERCENT` and `openjd_status: TEXT` (Open Job Description, "Stdout/Stderr messages")
- `frame=N` and `progress=continue|end`, as `ffmpeg -progress` writes them, and ffmpeg's status line `frame=  N fps=…`
- anywhere in a line, the regular expression of the specification. It then replaces ffmpeg's lines, because whoever
  writes one has commands whose ffmpeg, if any, counts something else.

A program that holds back its output when that goes into a pipe, as Python's `print` does, has to flush it.
"""

from __future__ import annotations

import re
from math import isfinite

from heliostat.errors import Misconfigured

_KNOWN = re.compile(
    rb"^(?:frame=[ \t]*(?P<frame>\d{1,15})\b"
    rb"|progress=(?P<progress>continue|end)\b"
    rb"|openjd_progress:[ \t]*(?P<percent>\d{1,15}(?:\.\d{0,15})?)\b"
    rb"|openjd_status:[ \t]*(?P<status>.*))",
    re.MULTILINE,
)
_SIGNS = (b"frame=", b"progress=", b"openjd_")


class ProgressParser:
    """Fed with complete lines; `frames_done` rises from 0 to at most the chunk's `frame_count`."""

    def __init__(self, frame_count: int, pattern: str | None = None) -> None:
        """`pattern` is `JobSpec.progress`. Raises Misconfigured when it is of no use."""
        self.frames_done = 0.0
        self.status: str | None = None
        """The newest `openjd_status`."""
        self._frame_count = frame_count
        self._frame_of_block: dict[str, int] = {}
        self._encoded: int | None = None
        self._pattern = _compile(pattern) if pattern else None

    def feed(self, stream: str, lines: bytes) -> bool:
        """Search lines of one stream; says whether `frames_done` has risen."""
        before = self.frames_done
        # Nearly all output is of no interest, and a search for a fixed word runs at the speed of memory.
        if any(sign in lines for sign in _SIGNS):
            self._search_known(stream, lines.replace(b"\r", b"\n"))
        if self._pattern is not None:
            self._search_own(lines)
        return self.frames_done > before

    @property
    def encoded_frames(self) -> int | None:
        """Frames that ended encodes of ffmpeg reported with `progress=end`, together; None when there was none."""
        return self._encoded

    def _search_known(self, stream: str, lines: bytes) -> None:
        for match in _KNOWN.finditer(lines):
            kind = match.lastgroup
            if kind == "percent":
                self._advance(float(match["percent"]) / 100 * self._frame_count)
            elif kind == "status":
                self.status = match["status"].decode("utf-8", "replace").strip()
            elif self._pattern is not None:
                continue
            elif kind == "frame":
                frame = int(match["frame"])
                self._frame_of_block[stream] = frame
                self._advance(frame)
            else:
                frames = self._frame_of_block.pop(stream, None)
                if match["progress"] == b"end" and frames is not None:
                    self._encoded = (self._encoded or 0) + frames

    def _search_own(self, lines: bytes) -> None:
        assert self._pattern is not None
        text = lines.decode("utf-8", "replace").replace("\r", "\n")
        group: str | int = "frames" if "frames" in self._pattern.groupindex else 1
        for match in filter(None, map(self._pattern.search, text.split("\n"))):
            try:
                self._advance(float(match[group] or ""))
            except ValueError:
                continue

    def _advance(self, frames: float) -> None:
        if isfinite(frames) and frames > self.frames_done:
            self.frames_done = float(min(frames, self._frame_count))


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise Misconfigured(f"progress: {pattern!r} is not a regular expression ({error}); correct it") from None
    if not compiled.groups:
        raise Misconfigured(
            f"progress: {pattern!r} has no group; put the number of frames done in parentheses, such as"
            r" 'frames done: (\d+)'"
        )
    return compiled
