"""A run as it looks in a terminal."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path


def test_in_a_terminal_there_is_a_live_display_and_at_the_end_one_line(
    job_file: Callable[..., Path], tmp_path: Path
) -> None:
    job = job_file('echo openjd_progress: 40; sleep 0.3; echo done > "$1"', mergeCommand="true")
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color"}
    env.pop("COLUMNS")
    program = subprocess.Popen(
        [sys.executable, "-m", "heliostat", "render", str(job), "--id", "j1"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=env,
        start_new_session=True,
    )
    os.close(slave)
    output = b""
    try:
        while data := os.read(master, 65536):
            output += data
    except OSError:  # the last one who wrote there has gone
        pass
    os.close(master)
    assert program.wait(60) == 0
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output.decode())
    assert "film ━" in text
    assert "2/5" in text
    assert text.splitlines()[-1].startswith("✓ film: completed, 2/2 chunks, 10 frames in ")
    assert b"\x1b[?25l" not in output
