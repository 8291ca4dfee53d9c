"""The contract of worker adapters: shown by the built-in one, and failed by those that break it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from heliostat.testing import WorkerAdapterContract, WorkerUnderTest
from heliostat.testing.parity import Verdict, read_records

BROKEN = {
    "Leaky": {"the environment is the one that was asked for"},
    "Deaf": {
        "cancelled ends the command and all its children",
        "fail fast cancels what runs and starts nothing more",
        "stalled costs an attempt and ends the command",
    },
    "Silent": {"P7 frames inside a running chunk are told live", "P7 what a command says is in its log while it runs"},
    "Stubborn": {"P1 each success is told once after its commit"},
    "Vague": {
        "bad output costs an attempt[empty]",
        "command failed costs an attempt",
        "misconfigured ends the job at once",
        "out of memory costs an attempt",
    },
    "Careless": {"an output folder arrives with every file", "outputs arrive with their digests"},
}
"""Points that each of `broken_adapters` fails."""


class TestLocal(WorkerAdapterContract):
    @pytest.fixture
    def under_test(self) -> WorkerUnderTest:
        return WorkerUnderTest("local")


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_suite_finds_what_is_broken(tmp_path: Path):
    """An adapter that breaks nothing passes all of these points."""
    points = {name: sorted(expected | {"outputs arrive with their digests"}) for name, expected in BROKEN.items()}
    points["Runtime"] = sorted(set().union(*points.values()))
    module = Path(__file__).with_name("broken_adapters.py")
    record = tmp_path / "parity.json"
    nodes = [
        f"{module}::Test{name}::test_{point.replace(' ', '_')}" for name, those in points.items() for point in those
    ]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n2", "--rootdir", tmp_path),
            *("-c", "/dev/null", "--import-mode=importlib", "--heliostat-parity", record, *nodes),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=230,
    )
    found = {
        record.subject: {point.name for point in record.points if point.verdict is Verdict.FAILING}
        for record in read_records(record)
    }
    assert found == {**BROKEN, "Runtime": set()}, done.stdout[-4000:]
    assert f"worker adapter Runtime: {len(points['Runtime'])} shown, 0 not shown, 0 failing" in done.stdout
