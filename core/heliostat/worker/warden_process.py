"""The helper process that outlives a coordinator to end what that left running. `heliostat.worker.warden` starts it.

It runs as `python -I -S warden_process.py COORDINATOR_PID TOKEN`, so it imports the standard library alone. On its
standard input come lines: `+PGID` (a process group began), `-PGID` (it is gone), `.` (an orderly end). After that, or
when the pipe ends or the coordinator is gone, it kills the registered groups, then whatever carries TOKEN in its
environment: a command that was being started, and children that left their group.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

QUIET = 1.0
"""Seconds without a marked process after which none is still to come: far more than the way from fork to exec."""
PATIENCE = 10.0
"""Seconds after which processes that cannot be killed are left to the system."""


def kill_marked(token: str) -> int:
    """Kill every process whose environment holds the token; returns how many. Finds none where there is no /proc."""
    needle, killed = token.encode(), 0
    try:
        entries = os.listdir("/proc")
    except OSError:
        return 0
    for entry in entries:
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb", buffering=0) as environ:
                if needle in environ.read():
                    os.kill(int(entry), signal.SIGKILL)
                    killed += 1
        except OSError:
            continue
    return killed


def main(coordinator: int, token: str) -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    groups, orderly = _listen(coordinator)
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    begun = quiet_since = time.monotonic()
    while True:
        now = time.monotonic()
        if kill_marked(token):
            quiet_since = now
        elif orderly or now - quiet_since >= QUIET:
            return
        if now - begun >= PATIENCE:
            return
        time.sleep(0.02 if orderly else 0.05)


def _listen(coordinator: int) -> tuple[set[int], bool]:
    """Follow the coordinator until it ends: the groups that it left, and whether it said goodbye."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    # A child that the coordinator forked without exec holds the pipe open too; the coordinator's own end is certain.
    try:
        poll.register(os.pidfd_open(coordinator), select.POLLIN)
    except ProcessLookupError:
        return set(), False
    except (AttributeError, OSError):  # not Linux, or a sandbox that lacks the call
        pass
    groups: set[int] = set()
    pending = b""
    while True:
        if 0 not in {descriptor for descriptor, _ in poll.poll()}:
            return groups, False
        data = os.read(0, 65536)
        if not data:
            return groups, False
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            if line[:1] == b"+":
                groups.add(int(line[1:]))
            elif line[:1] == b"-":
                groups.discard(int(line[1:]))
            else:
                return groups, True


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
