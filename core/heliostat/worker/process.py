"""A command in a process group of its own, from its start until nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from heliostat.worker.threads import in_thread
from heliostat.worker.warden_process import kill_marked

BLOCK = 128 << 10
"""Bytes read from a pipe at once, so that a flood of output costs few turns of the event loop."""
KILL_PATIENCE = 5.0
"""Seconds that a killed process may take to go away; only one that waits for a broken disk or network takes longer."""
DRAIN_PATIENCE = 1.0
"""Seconds to wait for the end of the pipes once the group is gone; a process that left the group may hold them."""


class Process:
    """A running command. Started without a shell, in a session of its own, with an empty standard input.

    It does not use asyncio's subprocesses: those need a child watcher that differs between Python versions, and tell
    neither of the exit before the pipes end nor keep the dead command's id reserved until its group is dealt with.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        token: str,
        on_output: Callable[[str, bytes], None],
    ) -> None:
        """Start it, on the running event loop. `token` occurs in `env`; `on_output` gets ("stdout" or "stderr", bytes).
        Raises OSError or ValueError when it cannot be started."""
        self._loop = asyncio.get_running_loop()
        self._token = token
        self._on_output = on_output
        self._exited: asyncio.Future[None] = self._loop.create_future()
        self._drained: asyncio.Future[None] = self._loop.create_future()
        self._cancelled: asyncio.CancelledError | None = None
        self._popen = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        """Also the id of the process group."""
        self.exit_code: int | None = None
        """After `end`: the exit status, or -N when signal N killed it; None when it cannot be known."""
        self.gone = False
        """After `end`: whether nothing of the group is left."""
        self._pipes: set[IO[bytes]] = set()
        for stream, pipe in (("stdout", self._popen.stdout), ("stderr", self._popen.stderr)):
            assert pipe is not None
            self._pipes.add(pipe)
            os.set_blocking(pipe.fileno(), False)
            self._loop.add_reader(pipe.fileno(), self._read, stream, pipe)
        self._watch_exit()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait for the command to exit; False when the time ran out first. Others of its group may still run."""
        await asyncio.wait([self._exited], timeout=timeout)
        return self._exited.done()

    async def end(self, grace: float) -> None:
        """See to it that nothing of the group is left: SIGTERM, and SIGKILL after `grace` seconds. Then read what the
        pipes still hold. Sets `exit_code` and `gone`.

        A cancellation meanwhile cuts the grace short, and is raised at the end.
        """
        forced = not self._exited.done()
        self._signal(signal.SIGTERM)
        self.gone = await self._gone_within(grace, hurry=True)
        if not self.gone:
            self._signal(signal.SIGKILL)
            self.gone = await self._gone_within(KILL_PATIENCE)
        if not forced:
            await self._rest(self._drained, DRAIN_PATIENCE)
        if forced or not self._drained.done():
            # Children that left the group are part of the command too.
            try:
                await in_thread(lambda: kill_marked(self._token))
            except asyncio.CancelledError as error:
                self._cancelled = error
            await self._rest(self._drained, DRAIN_PATIENCE)
        for pipe in tuple(self._pipes):
            self._close(pipe)
        if self._popen.returncode is None:
            self._popen.returncode = -signal.SIGKILL  # it withstood SIGKILL and is left alone; Popen would warn of that
        if self._cancelled is not None:
            raise self._cancelled

    async def _gone_within(self, patience: float, *, hurry: bool = False) -> bool:
        deadline = self._loop.time() + patience
        pause = 0.002
        while self._is_alive():
            left = deadline - self._loop.time()
            if left <= 0 or (hurry and self._cancelled is not None):
                return False
            if self._exited.done():
                await self._rest(self._loop.create_future(), min(pause, left))
                pause = min(pause * 2, 0.05)
            else:
                await self._rest(self._exited, left)
        return True

    async def _rest(self, future: asyncio.Future[None], seconds: float) -> None:
        try:
            await asyncio.wait([future], timeout=seconds)
        except asyncio.CancelledError as error:
            self._cancelled = error

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _is_alive(self) -> bool:
        """Whether the command or another of its group runs. Reaps the command, so the group's id stays reserved up to
        the first signal after its exit."""
        if not self._exited.done():
            return True
        if self._popen.returncode is None:
            self._reap()
        return _is_group_alive(self.pid)

    def _reap(self) -> None:
        try:
            self.exit_code = self._popen.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:
            self._popen.returncode = 255  # SIGCHLD is ignored, or somebody waits for every child of this process

    def _read(self, stream: str, pipe: IO[bytes]) -> None:
        try:
            data = os.read(pipe.fileno(), BLOCK)
        except BlockingIOError:
            return
        if data:
            self._on_output(stream, data)
        else:
            self._close(pipe)

    def _close(self, pipe: IO[bytes]) -> None:
        self._pipes.remove(pipe)
        self._loop.remove_reader(pipe.fileno())
        pipe.close()
        if not self._pipes and not self._drained.done():
            self._drained.set_result(None)

    def _watch_exit(self) -> None:
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not Linux, or a sandbox that lacks the call
            threading.Thread(target=self._wait_on_thread, daemon=True).start()
            return

        def on_exit() -> None:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
            self._exited.set_result(None)

        self._loop.add_reader(descriptor, on_exit)

    def _wait_on_thread(self) -> None:
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:  # macOS before Python 3.13
            self._reap()
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._exited.set_result, None)


def _is_group_alive(group: int) -> bool:
    """Whether processes other than dead ones are in the group, whose leader was reaped."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        os.kill(group, 0)
    except ProcessLookupError:
        return _has_living_members(group)
    except PermissionError:
        pass
    return False  # a number that a process has again is not given to it while a group still bears it


def _has_living_members(group: int) -> bool:
    """True where there is no /proc to look into. In a container nobody may reap the dead, so they do not count."""
    try:
        entries = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    except OSError:
        return True
    for entry in entries:
        try:
            with open(f"/proc/{entry}/stat", "rb", buffering=0) as stat:
                state, _, its_group = stat.read().rpartition(b")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state not in (b"Z", b"X"):
            return True
    return False
