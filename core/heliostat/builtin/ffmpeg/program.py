"""Runs ffmpeg beside the event loop, and leaves nothing of it behind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from heliostat.errors import StitchFailed
from heliostat.worker.environment import LINEAGE
from heliostat.worker.ffmpeg import find_ffmpeg
from heliostat.worker.process import Process
from heliostat.worker.warden import Warden

TAIL = 8 << 10
"""Bytes of standard error that are kept."""

GRACE = 0.0
"""Seconds to stop by itself: none, since an unfinished film is of no use."""


class Done(Struct, frozen=True):
    exit_code: int | None
    stderr_tail: str

    @property
    def complaint(self) -> str:
        """The first line of what it said last; those after it are mostly how it came to a halt."""
        lines = [re.sub(r"^(\[[^\]]*\] )+", "", line).strip() for line in self.stderr_tail.splitlines()]
        return next((line for line in lines if line), f"exit status {self.exit_code}")


async def run_ffmpeg(arguments: Sequence[str], *, cwd: str, on_stdout: Callable[[bytes], object] | None = None) -> Done:
    """Run it to its end. When cancelled, or when this process dies, it is killed. Raises StitchFailed when it cannot
    be started."""
    ffmpeg = find_ffmpeg()
    if ffmpeg is None:
        raise StitchFailed("there is no ffmpeg on this machine; install it, or run `pip install heliostat[video]`")
    tail = bytearray()

    def hear(stream: str, data: bytes) -> None:
        if stream == "stderr":
            tail.extend(data)
            del tail[:-TAIL]
        elif on_stdout is not None:
            on_stdout(data)

    warden = Warden()
    try:
        lineage = ",".join(filter(None, [os.environ.get(LINEAGE), warden.token]))
        command = [ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-v", "error", "-y", *arguments]
        try:
            process = Process(
                command, cwd=cwd, env={**os.environ, LINEAGE: lineage}, token=warden.token, on_output=hear
            )
        except (OSError, ValueError) as error:
            raise StitchFailed(f"{ffmpeg} cannot be run ({error}); set HELIOSTAT_FFMPEG to an ffmpeg") from error
        warden.watch(process.pid)
        try:
            await process.wait()
        finally:
            await process.end(GRACE)
    finally:
        await warden.close()
    return Done(process.exit_code, tail.decode("utf-8", "replace"))
