"""What the README shows works as it is written there."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from heliostat import JobExecutionOptions, JobExecutor, JobState, load_spec
from heliostat.cli.app import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
WHEEL_JOB = Path(__file__).parent / "wheel"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def job_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    made_by_hand = shutil.ignore_patterns("chunks", "film.txt", ".heliostat")
    return Path(shutil.copytree(WHEEL_JOB, tmp_path / "job", ignore=made_by_hand))


def test_the_job_file_is_one(tmp_path: Path):
    path = tmp_path / "job.toml"
    path.write_text(blocks("toml")[0])
    spec = load_spec(path)
    assert (len(spec.chunks), spec.metadata.total_frames) == (10, 240)
    assert spec.chunks[1].command == (
        "my-renderer", "--first", "24", "--last", "47", "--output", "chunks/0001.mp4",
    )  # fmt: skip


def test_the_job_from_python_runs(job_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    code = blocks("python")[0]
    monkeypatch.chdir(job_dir)
    shown = "core/examples/sunrise"
    assert shown in code
    exec(compile(code.replace(f"{shown}/", "").replace(shown, "."), "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["1 of 3", "2 of 3", "3 of 3", "completed"]
    assert (job_dir / "film.txt").read_text() == "0 1 2 3 4 5 6 7 8 9"


async def test_the_adapter_of_thirty_lines_renders(job_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A program called `ssh` that runs the command on this machine stands in for another machine."""
    code = blocks("python")[1]
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 36
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text('#!/bin/sh\nshift\nexec sh -c "$1"\n')
    ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{ssh.parent}{os.pathsep}{os.environ['PATH']}")
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    registered: dict[str, Any] = {}
    names["register_worker_adapters"](
        lambda name, factory, options, summary: registered.update({name: (factory, options)})
    )
    factory, options = registered["ssh"]
    (job_dir / "chunks").mkdir()
    result = await asyncio.wait_for(
        JobExecutor(factory(options(host="render1"))).execute(
            load_spec(job_dir / "job.toml"), JobExecutionOptions(job_dir=job_dir)
        ),
        timeout=60,
    )
    assert (result.state, result.completed_chunks) == (JobState.COMPLETED, 3)
    assert (job_dir / "film.txt").read_text() == "0 1 2 3 4 5 6 7 8 9"


def test_every_command_is_in_the_table():
    table = README.partition("## Commands")[2].partition("\n## ")[0]
    assert [name for name in COMMANDS if f"`{name}" not in table] == []


def test_pictures_and_paths_are_there():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)|`((?:core|tests|plugins)/[\w./]+)`", README):
        assert (ROOT / (path[0] or path[1])).exists(), path
