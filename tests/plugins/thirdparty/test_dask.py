"""A stranger's plugin: `heliostat-dask` is built, installed from wheels where nothing else of this repository is, and
passes the contract suite there, on a real Dask cluster."""

from __future__ import annotations

import ast
import fcntl
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import heliostat.errors
from heliostat.testing import WorkerAdapterContract
from heliostat.testing.parity import Verdict, read_records

ROOT = Path(__file__).parents[3]
SOURCES = Path(__file__).parent / "heliostat-dask"
UV = os.environ.get("UV") or shutil.which("uv")
NOT_SHOWN = {"throttled costs no attempt and lowers concurrency"}
"""Points that a Dask cluster cannot show: it never asks for fewer calls."""

pytestmark = pytest.mark.timeout(280)
needs_uv = pytest.mark.skipif(UV is None, reason="uv is not on PATH and UV does not name it; `pip install uv`")


class Environment:
    """A virtual environment with heliostat and heliostat-dask from wheels, and a folder outside of the repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.venv = folder / "venv"
        self.away = folder / "away"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "PYTEST", "HELIOSTAT", "VIRTUAL_ENV", "UV_PROJECT"))
        }
        path = [part for part in os.environ["PATH"].split(os.pathsep) if not Path(part).is_relative_to(ROOT)]
        self.environ = {**kept, "PATH": os.pathsep.join([str(self.venv / "bin"), *path])}

    def make(self) -> None:
        """Build both wheels and install them."""
        self.away.mkdir()
        assert UV is not None
        wheels = self.folder / "wheels"
        for project in (ROOT, SOURCES):
            self.run(UV, "build", "-q", "--wheel", "--out-dir", wheels, project)
        (core,) = wheels.glob("heliostat-*.whl")
        (plugin,) = wheels.glob("heliostat_dask-*.whl")
        self.run(UV, "venv", "-q", "--python", sys.executable, self.venv)
        extras = f"heliostat[testing] @ {core.as_uri()}"
        self.run(UV, "pip", "install", "-q", "--python", self.venv, extras, plugin, "pytest", "pytest-timeout")

    def run(self, *command: object, **environ: str) -> str:
        """Returns what it prints. All its processes end with it, also when this test is ended."""
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=self.away,
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        assert process.returncode == 0, output
        return output


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Made once, also when several processes of pytest-xdist need it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "stranger"
    folder.mkdir(exist_ok=True)
    environment = Environment(folder)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            environment.make()
            (folder / "made").touch()
    return environment


@pytest.mark.long
@needs_uv
def test_the_contract_suite_passes_in_an_environment_of_its_own(environment: Environment, tmp_path: Path):
    folder = environment.away / "heliostat-dask"
    shutil.copytree(SOURCES / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(SOURCES / "pyproject.toml", folder)  # pytest's settings
    parity = tmp_path / "parity.json"
    environment.run("pytest", "-q", "--heliostat-parity", parity, f"--basetemp={tmp_path / 'inner'}", folder)
    (record,) = read_records(parity)
    assert (record.kind, record.subject) == ("worker_adapter", "dask")
    verdicts = {point.name: point.verdict for point in record.points}
    assert Verdict.FAILING not in verdicts.values()
    assert {name for name, verdict in verdicts.items() if verdict is Verdict.NOT_SHOWN} == NOT_SHOWN
    points = {name.removeprefix("test_").replace("_", " ") for name in dir(WorkerAdapterContract) if "test_" in name}
    assert {name.partition("[")[0] for name in verdicts} == points


@needs_uv
def test_both_distributions_come_from_the_wheels(environment: Environment):
    code = "import heliostat, heliostat_dask; print(heliostat.__file__, heliostat_dask.__file__, sep='\\n')"
    for file in environment.run("python", "-c", code).splitlines():
        assert Path(file).is_relative_to(environment.venv / "lib"), file


@needs_uv
def test_the_adapter_is_found_by_its_entry_point(environment: Environment):
    plugins = json.loads(environment.run("heliostat", "plugins", "--json"))
    (dask,) = [plugin for plugin in plugins if plugin["name"] == "dask"]
    assert (dask["distribution"], dask["problem"]) == ("heliostat-dask", None)
    (adapter,) = dask["registers"]
    assert (adapter["kind"], adapter["name"]) == ("worker_adapter", "dask")
    assert {option["name"]: option["required"] for option in adapter["options"]} == {
        "scheduler": True,
        "slots": False,
        "grace": False,
    }


@needs_uv
def test_the_adapter_can_be_left_out(environment: Environment):
    assert "dask" not in environment.run("heliostat", "plugins", HELIOSTAT_PLUGINS="")


@needs_uv
def test_the_plugin_loads_without_its_sdk(environment: Environment):
    code = "import sys, heliostat_dask.plugin; print([name for name in ('dask', 'distributed') if name in sys.modules])"
    assert environment.run("python", "-c", code) == "[]\n"


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """What a module imports of Heliostat, as module and name; the name is empty for a whole module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "heliostat":
            assert not node.level
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.partition(".")[0] == "heliostat")


@pytest.mark.parametrize("file", sorted(SOURCES.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCES)))
def test_it_imports_public_names_alone(file: Path):
    allowed = {"heliostat", "heliostat.errors", "heliostat.worker"}
    if file.parent.name == "tests":
        allowed.add("heliostat.testing")
    for module, name in imports(file):
        assert module in allowed, f"{module} is not public"
        if module == "heliostat.errors":
            assert issubclass(getattr(heliostat.errors, name), heliostat.errors.HeliostatError)
        elif name:
            assert name in importlib.import_module(module).__all__, f"{name} is no public name of {module}"


def test_the_sources_import_the_names_that_the_adapter_needs():
    """So that the test above has something to look at."""
    found = {module for file in SOURCES.rglob("*.py") for module, _ in imports(file)}
    assert found == {"heliostat", "heliostat.errors", "heliostat.worker", "heliostat.testing"}
