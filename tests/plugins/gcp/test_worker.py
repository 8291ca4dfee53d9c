"""The entry point of the worker image, started as Cloud Run starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "heliostat_gcp.worker"]


def run(env: dict[str, str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("env", "missing"),
    [
        ({"PORT": "8080"}, "HELIOSTAT_AUDIENCE"),
        ({"PORT": "8080", "HELIOSTAT_AUDIENCE": "film"}, "HELIOSTAT_CALLERS"),
        ({"HELIOSTAT_AUDIENCE": "film", "HELIOSTAT_CALLERS": "a@example.com"}, "PORT"),
        ({"CLOUD_RUN_JOB": "film"}, "CLOUD_RUN_TASK_INDEX"),
        ({"CLOUD_RUN_JOB": "film", "CLOUD_RUN_TASK_INDEX": "0"}, "HELIOSTAT_BATCH"),
    ],
)
def test_what_is_not_set_is_told(tmp_path: Path, env: dict[str, str], missing: str):
    """A service serves nobody rather than everybody."""
    done = run(env, tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        f"the environment variable '{missing}' is not set; deploy with `heliostat gcp deploy`"
    )


def test_a_task_that_is_really_started_finds_no_mailbox_and_says_so(cloud: Any, tmp_path: Path):
    """The other tests fork theirs from a process that has imported everything."""
    env = {
        "CLOUD_RUN_JOB": "film",
        "CLOUD_RUN_TASK_INDEX": "0",
        "HELIOSTAT_BATCH": "session/1",
        "HELIOSTAT_ARTIFACTS": "gs://nothing-there",
        "STORAGE_EMULATOR_HOST": os.environ["STORAGE_EMULATOR_HOST"],
    }
    done = run(env, tmp_path)
    assert done.returncode == 1
    assert "nothing-there" in done.stderr
