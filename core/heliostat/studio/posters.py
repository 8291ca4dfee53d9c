"""Pictures of films and chunks, made by ffmpeg: bounded in time and number, and kept while the file stays the same."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, BinaryIO, Final

from msgspec import Struct
from starlette.responses import Response

from heliostat.studio.files import media_type
from heliostat.worker import find_ffmpeg

if TYPE_CHECKING:
    from starlette.requests import Request

WIDTH: Final = 640
"""Pixels; the height follows."""
PATIENCE: Final = 10.0
"""Seconds that ffmpeg may take for one picture."""
LARGEST: Final = 2 << 20
"""Bytes of a picture."""
AT_ONCE: Final = 1
KEPT: Final = 200
"""Pictures, and files of which none could be made."""
TRY_AGAIN: Final = 60.0
"""Seconds after which a picture is tried again that could not be made."""
LARGEST_FRAME: Final = 8192 * 4320
"""Pixels of a frame that ffmpeg may unpack."""

# What a file says that it is does not count: a playlist would have ffmpeg read other files, and tell of them.
_FORMATS: Final = (
    "mov,matroska,mpegts,avi,ogg,flv,image2,png_pipe,jpeg_pipe,webp_pipe,gif,apng,h264,hevc,av1,ivf,mpeg,mpegvideo,m4v"
)

logger = logging.getLogger("heliostat")

_Key = tuple[int, int, int, int]
"""Device, number, time and size of a file."""


class Poster(Struct, frozen=True):
    etag: str
    jpeg: bytes

    def answer(self, request: Request) -> Response:
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.jpeg, media_type="image/jpeg", headers=headers)


class Posters:
    def __init__(self) -> None:
        self._made: OrderedDict[_Key, asyncio.Future[Poster | None]] = OrderedDict()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def of(self, file: BinaryIO, name: str) -> Poster | None:
        """None when there is no picture in it, or no ffmpeg. Closes the file."""
        with file:
            if not media_type(name).startswith(("video/", "image/")):
                return None
            found = os.fstat(file.fileno())
            key = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
            if key not in self._made:
                # A task of its own: who asked first may go away, and others wait for the same.
                self._made[key] = asyncio.create_task(self._make(os.dup(file.fileno()), key))
                while len(self._made) > KEPT:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return await asyncio.shield(self._made[key])

    async def _make(self, number: int, key: _Key) -> Poster | None:
        try:
            async with self._slots:
                jpeg = await _draw(number)
        except OSError as error:
            logger.debug("a poster cannot be made: %s", error)
            jpeg = None
        finally:
            os.close(number)
        if not jpeg:
            asyncio.get_running_loop().call_later(TRY_AGAIN, self._made.pop, key, None)
            return None
        return Poster(f'"{key[1]:x}-{key[2]:x}-{key[3]:x}"', jpeg)


async def _draw(number: int) -> bytes | None:
    """`number`: an open file."""
    ffmpeg = find_ffmpeg()
    if ffmpeg is None:
        return None
    process = await asyncio.create_subprocess_exec(
        *(ffmpeg, "-v", "error", "-nostdin", "-threads", "1"),
        *("-protocol_whitelist", "file", "-format_whitelist", _FORMATS, "-max_pixels", str(LARGEST_FRAME)),
        *("-i", f"/dev/fd/{number}", "-map", "0:v:0", "-frames:v", "1"),
        *("-vf", f"scale={WIDTH}:-2,thumbnail=24", "-c:v", "mjpeg", "-q:v", "4", "-f", "image2pipe", "pipe:1"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        pass_fds=[number],
        limit=LARGEST,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            jpeg = await process.stdout.read(LARGEST)
            while more := await process.stdout.read(LARGEST):
                jpeg += more
                if len(jpeg) > LARGEST:
                    return None
            return jpeg if await process.wait() == 0 else None
    except TimeoutError:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
