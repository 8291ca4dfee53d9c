"""Records are read by many threads at once, also for the first time."""

from __future__ import annotations

import subprocess
import sys

import pytest

FIRST_READ = """
import threading
import msgspec
from heliostat import {names}

looking, seen = threading.Event(), threading.Event()

def look():
    looking.set()
    seen.wait(0.5)
    return int

class Inner(msgspec.Struct):
    number: "look()"

class Outer(msgspec.Struct):
    inner: "Inner"
    name: "str"

def read():
    found.append({read})
    seen.set()

found = []
threads = [threading.Thread(target=read) for _ in range(2)]
threads[0].start()
assert looking.wait(30)
threads[1].start()
for thread in threads:
    thread.join()
assert found == [Outer(Inner(3), "a")] * 2, found
"""
"""The first thread looks the outer type over, and is at the inner one, when the second reads."""


@pytest.mark.parametrize(
    ("names", "read"),
    [
        ("from_json", """from_json(b'{"inner": {"number": 3}, "name": "a"}', Outer)"""),
        ("from_builtins", """from_builtins({"inner": {"number": 3}, "name": "a"}, Outer)"""),
    ],
)
def test_threads_that_read_a_type_for_the_first_time_wait_until_it_was_looked_over(names: str, read: str):
    """Else the process ends by SIGSEGV."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_READ.format(names=names, read=read)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
