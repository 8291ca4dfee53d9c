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
import heliostat_aws
from heliostat import plugins

SOURCES = sorted(Path(heliostat_aws.__path__[0]).rglob("*.py"))


def test_it_registers_an_adapter_a_store_and_commands():
    registered = {(entry.kind, entry.name) for entry in plugins.load("aws").all() if entry.plugin == "aws"}
    assert registered == {("worker_adapter", "aws-lambda"), ("artifact_store", "s3"), ("command", "aws")}


def test_registering_imports_no_sdk():
    code = (
        "import sys; from heliostat import plugins; plugins.load('aws'); print({'boto3', 'botocore'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


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
