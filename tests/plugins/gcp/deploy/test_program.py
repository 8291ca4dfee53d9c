"""`heliostat gcp` as a program, from an empty project to films and back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google_accounts import EMAIL

from .conftest import BUCKET, IMAGE, Google

Program = Callable[..., subprocess.CompletedProcess[str]]

JOB = """
name = "NAME"
frames = 6
fps = 24
chunkSize = 3
output = "chunks/{chunk:04d}.txt"
command = ["python", "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])", "{output}", "{start} "]
mergeCommand = "python join.py"
"""
JOIN = """
from pathlib import Path
Path("film.txt").write_text("".join(part.read_text() for part in sorted(Path("chunks").glob("*.txt"))))
"""


@pytest.fixture
def program(google: Google) -> Program:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "heliostat", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def render(program: Program, folder: Path, worker: str, settings: list[str]) -> str:
    """The film that comes of a job that `deploy` says how to render."""
    folder.mkdir()
    (folder / "job.toml").write_text(JOB.replace("NAME", worker))
    (folder / "join.py").write_text(JOIN)
    options = [word for setting in settings for word in ("--set", setting)]
    done = program("render", str(folder / "job.toml"), "--worker", worker, *options, "--db", str(folder / "jobs.db"))
    assert done.returncode == 0, done.stderr
    return (folder / "film.txt").read_text()


@pytest.mark.timeout(240)
def test_from_nothing_to_films_and_back(program: Program, google: Google, tmp_path: Path, gcs: Any) -> None:
    here = ("--endpoint", google.run.endpoint)
    made = program("gcp", "deploy", "--image", IMAGE, "--caller", EMAIL, "--yes", *here)
    assert (made.returncode, made.stderr) == (0, "")
    doctor = program("gcp", "doctor", "--concurrency", "100", *here)
    assert (doctor.returncode, doctor.stderr) == (0, ""), doctor.stdout
    assert {line.split()[0] for line in doctor.stdout.splitlines()} == {"ok"}

    runs = google.run.admin.calls["RunJob"]
    for line in made.stdout.splitlines()[-2:]:  # as they are printed
        _, _, _, _, worker, *words = line.split()
        settings = words[1::2]
        assert render(program, tmp_path / worker, worker, settings) == "0 3 "
    assert google.run.admin.calls["RunJob"] == runs + 1
    chunks = {Path(blob.name).name for blob in gcs.list_blobs(BUCKET) if "/chunks/" in blob.name}
    assert chunks == {"0000.txt", "0001.txt"}
    assert [blob.name for blob in gcs.list_blobs(BUCKET, prefix="control/")] == []

    told = program("gcp", "status", "--json", *here)
    assert (told.returncode, told.stderr) == (0, "")
    report = json.loads(told.stdout)
    assert (report["service"]["state"], report["job"]["state"]) == ("ready", "ready")
    assert report["executions"] == {"running": []}
    assert report["bucket"]["objects"] > 0

    removed = program("gcp", "destroy", "--yes", "--delete-artifacts", *here)
    assert (removed.returncode, removed.stderr) == (0, "")
    assert (google.service, google.job, google.buckets.kept) == (None, None, {})


def test_no_sdk_is_imported_before_a_command_needs_it() -> None:
    code = (
        "import sys; from heliostat_gcp.deploy import make_app; make_app();"
        " print(sorted({'google', 'requests', 'yaml', 'aiohttp'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
