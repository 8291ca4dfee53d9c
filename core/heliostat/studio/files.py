"""Files of a job directory over HTTP: whole, in part, or not at all where they do not lie inside it.

Ranges and conditions are those of RFC 9110. Each answer is of one file as it was opened, also when a retry or a join
puts another one in its place meanwhile, and when it grows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import stat
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from heliostat.studio.clients import cut, has_left
from heliostat.studio.problems import problem, problem_response

PIECE: Final = 256 << 10
"""Bytes read and sent at once."""

_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)

MEDIA_TYPES: Final = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".ts": "video/mp2t",
    ".avi": "video/x-msvideo",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".txt": "text/plain; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
}
"""By the end of the name. What is not among them could be run by a browser, such as a page or an SVG picture, and is
sent as bytes to be saved."""

logger = logging.getLogger("heliostat")


def media_type(name: str | Path) -> str:
    return MEDIA_TYPES.get(Path(name).suffix.lower(), "application/octet-stream")


def open_inside(folder: Path, path: str | Path) -> BinaryIO | None:
    """A regular file inside a folder, wherever links in its path lead; None where there is none, and for one outside of
    it. `path` is relative to the folder or absolute."""
    root = os.path.realpath(folder)
    try:
        real = os.path.realpath(os.path.join(root, path))
        if not _is_inside(root, real):
            return None
        # Not one of the names may have become a link since, nor may it wait for the writer of a pipe.
        number = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    opened = real
    with contextlib.suppress(OSError):  # not Linux
        opened = os.readlink(f"/proc/self/fd/{number}")
    if stat.S_ISREG(os.fstat(number).st_mode) and _is_inside(root, opened):
        return os.fdopen(number, "rb", buffering=0)
    os.close(number)
    return None


def _is_inside(root: str, path: str) -> bool:
    return path.startswith(root if root.endswith("/") else f"{root}/")


class FileAnswer(Response):
    """An open file, which is closed in the end. One range of it, where that is asked for; the whole for several."""

    def __init__(self, file: BinaryIO, media_type: str, *, name: str = "", start: int = 0) -> None:
        """`name`: what the file is called when it is saved. `start`: the first byte of what is taken for the whole."""
        found = os.fstat(file.fileno())
        self._file = file
        self._start = min(start, found.st_size)
        self._size = found.st_size - self._start
        self.status_code = 200
        self.background = None
        self.body = b""
        self.media_type = media_type
        self._etag = f'"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}-{self._start:x}"'
        self._modified = found.st_mtime
        self.init_headers(
            {
                "Accept-Ranges": "bytes",
                "Cache-Control": "no-cache",
                "ETag": self._etag,
                "Last-Modified": formatdate(found.st_mtime, usegmt=True),
                "Content-Length": str(self._size),
            }
        )
        self.headers["Content-Type"] = media_type
        if name:
            kind = "attachment" if media_type == "application/octet-stream" else "inline"
            self.headers["Content-Disposition"] = f"{kind}; filename*=UTF-8''{_quoted(name)}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            asked = Headers(scope=scope)
            headers = MutableHeaders(raw=list(self.raw_headers))
            first, end, status = 0, self._size, 200
            if self._is_known(asked):
                first = end = 0
                status = 304
                del headers["content-length"]
            elif scope["method"] == "GET" and "range" in asked and self._is_same(asked.get("if-range")):
                part = _part(asked["range"], self._size)
                if part == (0, 0):
                    refused = problem(416, f"there are {self._size} bytes", name="no-such-range")
                    where = {"Content-Range": f"bytes */{self._size}"}
                    await problem_response(refused, where)(scope, receive, send)
                    return
                if part is not None:
                    (first, end), status = part, 206
                    headers["content-range"] = f"bytes {first}-{end - 1}/{self._size}"
                    headers["content-length"] = str(end - first)
            await send({"type": "http.response.start", "status": status, "headers": headers.raw})
            if scope["method"] == "GET" and not await self._send(
                scope, receive, send, self._start + first, end - first
            ):
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, scope: Scope, receive: Receive, send: Send, first: int, length: int) -> bool:
        """Whether all of it was sent to a client that was there to the end: one that seeks in a film leaves, which
        sending does not tell. Where the file has become shorter, the connection breaks, and nobody takes it for the
        whole."""
        leaving = asyncio.create_task(has_left(receive))
        try:
            if await self._send_pieces(leaving, send, first, length):
                return True
            if not leaving.done():
                logger.info("a file cannot be sent to its end, so the connection is closed")
                cut(scope)
                await leaving
            return False
        finally:
            leaving.cancel()

    async def _send_pieces(self, leaving: asyncio.Task[None], send: Send, first: int, length: int) -> bool:
        while length > 0:
            if leaving.done():
                return False
            try:
                data = await asyncio.to_thread(os.pread, self._file.fileno(), min(PIECE, length), first)
            except OSError as error:
                logger.warning("a file cannot be read: %s", error)
                return False
            if not data:
                return False
            await send({"type": "http.response.body", "body": data, "more_body": True})
            first += len(data)
            length -= len(data)
        return True

    def _is_known(self, asked: Headers) -> bool:
        """Whether the client has it already."""
        if (known := asked.get("if-none-match")) is not None:
            return known.strip() == "*" or self._etag in (tag.strip().removeprefix("W/") for tag in known.split(","))
        return self._is_older(asked.get("if-modified-since"))

    def _is_same(self, condition: str | None) -> bool:
        """Whether a range is of the file that the client has begun to fetch."""
        return condition is None or condition in (self._etag, self.headers["last-modified"])

    def _is_older(self, date: str | None) -> bool:
        try:
            return date is not None and int(self._modified) <= parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            return False


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None for what is to be left unheeded, (0, 0) for what is not there."""
    match = _RANGE.fullmatch(asked.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        length = min(_number(match[2]), size)
        return (size - length, size) if length else (0, 0)
    first = _number(match[1])
    if match[2] and _number(match[2]) < first:
        return None
    end = min(_number(match[2]) + 1, size) if match[2] else size
    return (first, end) if first < size else (0, 0)


def _number(digits: str) -> int:
    """Of any number of digits, which Python would refuse; more than 20 are larger than any file."""
    return int(digits.lstrip("0")[:20] or "0")


def _quoted(name: str) -> str:
    return quote(name, safe="", encoding="utf-8", errors="replace")
