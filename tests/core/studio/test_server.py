"""`heliostat studio`, as whoever starts it sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

START: dict[str, Any] = {"env": {**os.environ, "HELIOSTAT_PLUGINS": ""}, "capture_output": True, "text": True}


def refused(tmp_path: Path, *arguments: object, python: tuple[str, ...] = ("-m", "heliostat")) -> str:
    """What it says when it does not start; that has to be one sentence."""
    given = ["--db", tmp_path / "jobs.db", "--dir", tmp_path / "uploads", "--port", 0, *arguments]
    done = subprocess.run([sys.executable, *python, "studio", *map(str, given)], timeout=60, **START)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.startswith("heliostat: error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return str(done.stderr)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path, "--port", port)
    assert f"127.0.0.1:{port} cannot be served at (Address already in use); choose another --port or --host" in said


def test_an_address_that_is_not_this_machines_is_told(tmp_path: Path) -> None:
    assert "192.0.2.1:0 cannot be served at (" in refused(tmp_path, "--host", "192.0.2.1")


def test_a_database_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").mkdir()
    assert str(tmp_path / "jobs.db") in refused(tmp_path)


def test_a_database_in_memory_is_refused(tmp_path: Path) -> None:
    assert "give the path of a database with --db" in refused(tmp_path, "--db", "memory:")


def test_a_token_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("too short\n")
    assert "16 or more characters" in refused(tmp_path, "--token-file", tmp_path / "token")
    assert "the token cannot be read from" in refused(tmp_path, "--token-file", tmp_path / "none")


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "name another with --dir" in refused(tmp_path, "--dir", tmp_path / "file" / "folder")


def test_without_the_extra_it_says_how_to_install_it(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['nicegui'] = sys.modules['fastapi'] = None; from heliostat.cli.main import run; run()"
    )
    assert "install it with: pip install 'heliostat[studio]'" in refused(tmp_path, python=("-c", script))


def test_nothing_of_it_is_imported_otherwise() -> None:
    """Neither by the package and all its public names, nor by any other command."""
    script = """
import importlib, sys
import heliostat, heliostat.worker, heliostat.errors
for name in heliostat.__all__:
    getattr(heliostat, name)
from heliostat.cli.app import COMMANDS, make_app
make_app()
for name in COMMANDS:
    importlib.import_module("heliostat.cli." + name.replace("-", "_"))
heliostat.list_plugins()
theirs = ("fastapi", "starlette", "nicegui", "prometheus_client", "uvicorn", "socketio")
print([name for name in sys.modules if name.startswith("heliostat.studio") or name.partition(".")[0] in theirs])
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=60, **START)
    assert done.stdout.strip() == "[]"


def test_it_prints_its_link_once_and_ends_with_both_processes_although_somebody_listens(
    start_studio: Callable[..., Any], make_jobs: Callable[..., Any], waiting: str, is_alive: Callable[[int], bool]
) -> None:
    studio = start_studio()
    assert studio.link == studio.url
    coordinator = studio.coordinator()
    jobs = make_jobs(studio)
    jobs.submit("heard", waiting)
    with httpx.stream("GET", f"{studio.api}/jobs/heard/events", timeout=60, verify=False) as answer:
        pieces = answer.iter_text()
        assert next(pieces).startswith("retry:")
        assert studio.end(signal.SIGINT) == 0
        "".join(pieces)  # the end is a proper one
    assert not is_alive(coordinator)
    assert studio.said == [f"heliostat: studio serves at {studio.link}\n"]
