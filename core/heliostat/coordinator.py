"""Who coordinates a job: a name for this process that another process on the same machine can check for life.

A lease runs out by itself when its coordinator dies. Where the death can be proved, nobody needs to wait for that.
"""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path


def new_owner() -> str:
    """A lease owner for this process: `host/pid/start/place/nonce`, unique for each call."""
    pid = os.getpid()
    return "/".join((_host(), str(pid), _start_time(pid) or "-", _place(), uuid.uuid4().hex[:8]))


def is_dead(owner: str) -> bool:
    """Whether the process behind an owner has certainly ended. False when that cannot be known from here."""
    parts = owner.split("/")
    if len(parts) != 5 or parts[0] != _host() or parts[3] != _place() or parts[3] == "-":
        return False
    pid, started = int(parts[1]), parts[2]
    now = _start_time(pid)
    if now is not None:
        return now != started
    try:
        os.kill(pid, 0)  # /proc may hide the processes of other users
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return (Path("/proc") / parts[1] / "stat").exists()  # a zombie


def describe(owner: str) -> str:
    """An owner as a person would say it."""
    parts = owner.split("/")
    return f"process {parts[1]} on {parts[0]}" if len(parts) == 5 else owner


def _host() -> str:
    return socket.gethostname().replace("/", "_")


def _place() -> str:
    """What must be equal for a pid to mean the same process: the boot and the pid namespace; "-" where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return "-"


def _start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot (field 22 of /proc/PID/stat, see proc(5)); None when it has
    ended, a zombie included."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
