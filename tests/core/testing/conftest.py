"""Runs contract suites on implementations that are broken on purpose."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat.testing.parity import Verdict, read_records

Failing = Callable[[str], dict[str, set[str]]]


@pytest.fixture
def failing(tmp_path: Path) -> Failing:
    """Runs a module beside this one in a pytest of its own; returns which points each of its classes fails."""

    def run(module: str) -> dict[str, set[str]]:
        record = tmp_path / "parity.json"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-c", "/dev/null"),
                *("--rootdir", tmp_path, "--basetemp", tmp_path / "inner", "--import-mode=importlib"),
                *("--heliostat-parity", record, Path(__file__).with_name(module)),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        return {
            record.subject: {point.name for point in record.points if point.verdict is Verdict.FAILING}
            for record in read_records(record)
        }

    return run
