"""The log files of attempts, written to from any thread, at any time."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from heliostat.executor.logs import JobLogs, log_path


def attempt(index: int = 0, number: int = 1) -> Any:
    return SimpleNamespace(index=index, number=number, ended=False)


def open_files(folder: Path) -> list[str]:
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return found


def test_what_an_attempt_says_is_in_its_file(tmp_path: Path):
    logs, one, two = JobLogs(tmp_path, "job"), attempt(0), attempt(1, 2)
    logs.write(one, "first\n")
    logs.write(two, "other")
    logs.write(one, "second")
    for each in (one, two):
        each.ended = True
        logs.close(each)
    assert log_path(tmp_path, "job", 0, 1).read_text() == "first\nsecond\n"
    assert log_path(tmp_path, "job", 1, 2).read_text() == "other\n"


def test_what_is_said_while_the_attempt_ends_leaves_no_file_open(tmp_path: Path):
    """Threads go on talking; whatever the moment, the file is closed when all is over."""
    for round_ in range(50):
        logs, ending, talking = JobLogs(tmp_path / str(round_), "job"), attempt(), threading.Event()

        def talk(logs: JobLogs = logs, ending: Any = ending, talking: threading.Event = talking) -> None:
            for _ in range(50):
                logs.write(ending, "still here\n")
                talking.set()

        threads = [threading.Thread(target=talk) for _ in range(3)]
        for thread in threads:
            thread.start()
        if round_ % 2:
            talking.wait()
        ending.ended = True
        logs.close(ending)
        for thread in threads:
            thread.join()
        assert open_files(tmp_path / str(round_)) == []
