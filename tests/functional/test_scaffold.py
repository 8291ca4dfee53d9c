"""What `heliostat plugin new` writes works, from a built wheel and in an environment of its own."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from heliostat import Chunk, ChunkRequest, WorkerAdapter
from heliostat.cli.scaffold.names import Names
from heliostat.cli.scaffold.writer import write_plugin
from heliostat.testing.interruption import interrupted

UV_SETTINGS = re.compile(r"UV_(INDEX|DEFAULT_INDEX|EXTRA_INDEX|FIND_LINKS|CACHE|OFFLINE|CONFIG|SYSTEM_CERTS)")
ROOT = Path(__file__).parents[2]
WHEEL_JOB = Path(__file__).parent / "wheel"
UV = os.environ.get("UV") or shutil.which("uv")


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=270,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@pytest.fixture
def clean_env(tmp_path: Path) -> dict[str, str]:
    """Nothing of this test run or its environment, except how uv reaches its packages."""
    assert UV is not None
    kept = {"HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    env = {
        name: value
        for name, value in os.environ.items()
        if name in kept
        or re.match(r"UV_(INDEX|DEFAULT_INDEX|EXTRA_INDEX|FIND_LINKS|CACHE|OFFLINE|CONFIG|SYSTEM_CERTS)", name)
    }
    path = os.pathsep.join([str(Path(UV).parent), os.environ["PATH"]])
    return {**env, "PATH": path, "UV_PYTHON": sys.executable, "HELIOSTAT_DB": str(tmp_path / "jobs.db")}


@pytest.mark.long
@pytest.mark.skipif(UV is None, reason="uv is not on PATH and UV does not name it")
@pytest.mark.timeout(280)
def test_the_command_that_it_prints_makes_it_green_and_it_renders(tmp_path: Path, clean_env: dict[str, str]) -> None:
    run(UV, "build", "-q", "--wheel", "--out-dir", tmp_path / "dist", ROOT, cwd=tmp_path, env=clean_env)
    (wheel,) = (tmp_path / "dist").glob("heliostat-*.whl")
    run(UV, "venv", "-q", tmp_path / "author", cwd=tmp_path, env=clean_env)
    python = tmp_path / "author" / "bin" / "python"
    run(UV, "pip", "install", "-q", "--python", python, wheel, cwd=tmp_path, env=clean_env)

    said = run(python.with_name("heliostat"), "plugin", "new", "beacon", cwd=tmp_path, env=clean_env)
    tested = run("sh", "-c", said.splitlines()[-1], cwd=tmp_path, env=clean_env)
    (verdict,) = re.findall(r"^worker adapter beacon: (\d+) shown, (\d+) not shown, (\d+) failing$", tested, re.M)
    assert int(verdict[0]) > 30
    assert verdict[1:] == ("1", "0"), tested

    heliostat = tmp_path / "heliostat-beacon" / ".venv" / "bin" / "heliostat"
    listed = run(heliostat, "plugins", cwd=tmp_path, env=clean_env)
    assert re.search(
        r"^beacon  \(heliostat-beacon 0\.1\.0\)\n"
        r"  worker adapter beacon: .+\n    slots: int = 2\n    grace: float = 5\.0\n    python: str \| None = null$",
        listed,
        re.M,
    ), listed

    job = shutil.copytree(
        WHEEL_JOB, tmp_path / "job", ignore=shutil.ignore_patterns("chunks", "film.txt", ".heliostat")
    )
    run(
        *(heliostat, "render", job / "job.toml", "--worker", "beacon", "--set", "slots=3", "--progress", "lines"),
        cwd=tmp_path,
        env=clean_env,
    )
    assert (job / "film.txt").read_text() == "0 1 2 3 4 5 6 7 8 9"


def test_the_code_is_clean_to_ruff_and_strict_mypy(tmp_path: Path) -> None:
    """By the rules of this repository, but from the outside: there Heliostat is a third party."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    ruff = (sys.executable, "-m", "ruff")
    for name in ("s3", "render-farm-of-the-north"):
        plugin = tmp_path / name
        run(*(sys.executable, "-m", "heliostat", "plugin", "new", name, "--directory", plugin), cwd=tmp_path)
        run(*ruff, "check", "--select", ",".join(rules["select"]), "--ignore", ",".join(rules["ignore"]), cwd=plugin)
        run(*ruff, "format", "--check", "--diff", cwd=plugin)
        run(sys.executable, "-m", "mypy", "--cache-dir", tmp_path / "mypy", ".", cwd=plugin)


class Report:
    """Notes that the command has said something."""

    def __init__(self) -> None:
        self.said = asyncio.Event()

    def frames_done(self, frames: float, /) -> None: ...

    def log(self, stream: str, text: str, /) -> None:
        self.said.set()

    def heartbeat(self) -> None: ...


MakeAdapter = Callable[[float], WorkerAdapter]


@pytest.fixture
def make_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeAdapter]:
    """Makes the adapter that is written, with this grace."""
    write_plugin(Names.of("heath"), tmp_path / "plugin")
    monkeypatch.syspath_prepend(str(tmp_path / "plugin"))
    adapter = importlib.import_module("heliostat_heath.adapter")
    options = importlib.import_module("heliostat_heath.options")
    yield lambda grace: adapter.HeathAdapter(options.HeathOptions(grace=grace))
    for name in [name for name in sys.modules if name.startswith("heliostat_heath")]:
        del sys.modules[name]


def request_of(job_dir: Path, *command: str) -> ChunkRequest:
    chunk = Chunk(id=0, start_frame=0, frame_count=1, output_file="", command=command)
    return ChunkRequest(
        job_id="job", chunk=chunk, attempt=1, attempt_id="a", command=list(command), job_dir=str(job_dir)
    )


def left_behind(grace: float, job_dir: Path) -> list[str]:
    """Workers with this grace, and commands that run in this directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if str(grace) in command or (process / "cwd").readlink() == job_dir:
                found.append(" ".join(command))
        except OSError:
            continue
    return found


async def test_a_cancellation_at_any_moment_leaves_no_process_behind(make_adapter: MakeAdapter, tmp_path: Path) -> None:
    adapter, grace = make_adapter(7.03125), 7.03125
    job_dir = tmp_path / "job"
    job_dir.mkdir()
    request = request_of(job_dir, "sh", "-c", "echo hello; sleep 0.1")
    cancelled = []
    async for was_cancelled in interrupted(lambda: adapter.run(request, Report())):
        cancelled.append(was_cancelled)
        assert left_behind(grace, job_dir) == []
    assert len(cancelled) > 5


async def test_further_cancellations_cut_the_grace_short(make_adapter: MakeAdapter, tmp_path: Path) -> None:
    """It is longer than the test may take."""
    adapter, grace, report = make_adapter(907.5), 907.5, Report()
    job_dir = tmp_path / "job"
    job_dir.mkdir()
    stubborn = "trap '' TERM; echo begun; while :; do sleep 0.05; done"
    attempt = asyncio.create_task(adapter.run(request_of(job_dir, "sh", "-c", stubborn), report))
    await report.said.wait()
    while not attempt.done():
        attempt.cancel()
        await asyncio.wait([attempt], timeout=0.1)
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert left_behind(grace, job_dir) == []
