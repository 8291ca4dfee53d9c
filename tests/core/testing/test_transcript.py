"""The progress transcript: pinned here, so that it is the same from release to release too."""

from __future__ import annotations

import hashlib
from collections import Counter

from heliostat.testing import Fault, FaultyWorker, ScriptedWorker
from heliostat.testing.transcript import CHUNKS, RATES, SEED, reference

FAILED = {"throttled": 3, "command_failed": 4, "worker_lost": 11}
DIGEST = "dafd31f40930c58c59a14607e23e2f7430e3f59ddc47197f633c5bd9a55591de"


async def test_the_reference_is_this_text():
    lines = (await reference()).splitlines()
    assert lines[:CHUNKS] == [f"on_progress {completed}/24" for completed in range(1, 25)]
    events = lines[CHUNKS:]
    assert events[0] == "job started 0/24"
    assert events[-1] == "job completed 24/24"
    assert Counter(line.partition("failed: ")[2] for line in events if "failed" in line) == FAILED
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == DIGEST


async def test_it_is_the_same_each_time():
    assert await reference() == await reference()


def test_every_fault_but_a_hang_is_in_it():
    worker = FaultyWorker(ScriptedWorker(), seed=SEED, rates=RATES)
    first = {worker.fault_of(chunk, 1) for chunk in range(CHUNKS)}
    assert first == {*Fault} - {Fault.HANG} | {None}
