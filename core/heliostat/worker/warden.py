"""No process of a command outlives its coordinator, not even one that is ended by `kill -9`."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from pathlib import Path

from heliostat.worker import warden_process
from heliostat.worker.threads import in_thread

_NEEDED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class Warden:
    """One helper process that waits for this process to end and then ends the commands it left running.

    The helper holds the read end of a pipe whose only write end is here, and which commands do not inherit. `token`
    belongs into the environment of every command, as part of `HELIOSTAT_COORDINATOR`.
    """

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        # Without a variable that could hold another coordinator's token: the end of that one is no reason to end this.
        env = {name: os.environ[name] for name in _NEEDED if name in os.environ}
        program = [sys.executable, "-I", "-S", str(Path(warden_process.__file__)), str(os.getpid()), self.token]
        reader, self._writer = os.pipe()
        try:
            self._helper = subprocess.Popen(
                program,
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=env,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._writer)
            raise
        finally:
            os.close(reader)
        os.set_blocking(self._writer, False)

    @property
    def pid(self) -> int:
        """The helper's process id."""
        return self._helper.pid

    def watch(self, group: int) -> None:
        """A process group began."""
        self._tell(f"+{group}\n")

    def release(self, group: int) -> None:
        """A process group is gone; its number may come again and mean something else."""
        self._tell(f"-{group}\n")

    async def close(self) -> None:
        """Let the helper end; it first kills children that a command left behind outside of its group."""
        self._tell(".\n")
        os.close(self._writer)
        self._writer = -1
        await in_thread(self._wait)

    def _wait(self) -> None:
        try:
            self._helper.wait(warden_process.PATIENCE + 5)
        except subprocess.TimeoutExpired:
            self._helper.kill()
            self._helper.wait()

    def _tell(self, line: str) -> None:
        # A helper that is dead or stuck must not hold up the work; the token in the environment is there as well.
        with contextlib.suppress(OSError):
            os.write(self._writer, line.encode())
