"""The distribution as Heliostat finds it: public names only, and no SDK before something is opened."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import heliostat.errors
import heliostat_gcp
from heliostat import open_artifact_store, plugins

SOURCES = sorted(Path(heliostat_gcp.__path__[0]).rglob("*.py"))


def test_it_registers_two_adapters_a_store_under_both_schemes_and_its_commands():
    registered = {(entry.kind, entry.name) for entry in plugins.load("gcp").all() if entry.plugin == "gcp"}
    assert registered == {
        ("worker_adapter", "gcp-cloud-run"),
        ("worker_adapter", "gcp-cloud-run-jobs"),
        ("artifact_store", "gcs"),
        ("artifact_store", "gs"),
        ("command", "gcp"),
    }


def test_both_schemes_name_the_same_store():
    urls = {open_artifact_store(f"{scheme}://films/a").url for scheme in ("gcs", "gs")}
    assert urls == {"gcs://films/a"}


def test_nothing_imports_the_sdk_before_a_store_is_opened():
    code = (
        "import sys; from heliostat import open_artifact_store; open_artifact_store('gs://films/a');"
        " print([name for name in sys.modules if name.split('.')[0] in ('google', 'requests', 'urllib3')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def imports(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "heliostat":
            yield from ((str(node.module), alias.name) for alias in node.names)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_it_imports_public_names_alone(file: Path):
    for module, name in imports(file):
        assert module in {"heliostat", "heliostat.errors", "heliostat.worker"}, module
        if module == "heliostat.errors":
            assert issubclass(getattr(heliostat.errors, name), heliostat.errors.HeliostatError)
        else:
            assert name in importlib.import_module(module).__all__
