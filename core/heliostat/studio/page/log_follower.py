"""Reads the log of an attempt as it grows: its end first, then what is added, as text without control characters."""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

from heliostat import plain_lines
from heliostat.studio.files import open_inside

TAIL: Final = 64 * 1024
"""Bytes of a log that are read of what was there before."""
PIECE: Final = 64 * 1024
"""Bytes that are read at once."""
FARTHEST: Final = 4
"""Times `TAIL` that a reader may be behind."""
LOOK_EVERY: Final = 0.4
"""Seconds between looks at a log that may grow."""
LEFT_OUT: Final = "[what came before is left out here]\n"


class LogFollower:
    """Where a log has been read to. Whole lines only, until nothing more is added: of a line that is not yet ended
    nobody knows what will be seen of it."""

    def __init__(self, folder: Path, path: Path, *, tail: int = TAIL) -> None:
        """`folder`: the job directory, which the log lies in; a link that leads out of it leads nowhere."""
        self._folder = folder
        self._path = path
        self._tail = tail
        self._place: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unended = ""

    async def follow(self) -> AsyncIterator[str]:
        """Text as it comes, until nobody listens."""
        while True:
            text = await asyncio.to_thread(self.read)
            if text:
                yield text
            else:
                await asyncio.sleep(LOOK_EVERY)

    def read(self) -> str:
        """What is new; at most about `PIECE`. Nothing while there is no such file. Who reads much slower than the log
        grows is told its end."""
        head = ""
        file = open_inside(self._folder, self._path.absolute())
        if file is None:
            return ""
        try:
            with file:
                size = os.fstat(file.fileno()).st_size
                if self._place is None or size - self._place > FARTHEST * self._tail:
                    head = self._skip(file, size)
                file.seek(self._place or 0)
                data = file.read(PIECE)
        except OSError:
            return ""
        self._place = (self._place or 0) + len(data)
        text = self._unended + self._decoder.decode(data)
        whole, newline, rest = text.rpartition("\n") if data else (text, "", "")
        self._unended = rest
        return head + ("\n".join(plain_lines(whole)) + "\n" if whole or newline else "")

    def _skip(self, file: BinaryIO, size: int) -> str:
        """Go to the first line of the end of the file. Returns what says so, where something is left out."""
        self._decoder.reset()
        self._unended = ""
        self._place = max(0, size - self._tail)
        if self._place == 0:
            return ""
        file.seek(self._place - 1)
        self._place += len(file.readline(PIECE)) - 1
        return LEFT_OUT
