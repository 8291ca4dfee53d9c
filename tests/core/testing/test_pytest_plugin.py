"""The summary that pytest prints of contract suites, and the record that `heliostat plugins --parity` prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from heliostat.errors import SpecError
from heliostat.testing.parity import Point, Record, Verdict, read_records, render, table, write_records

SUITE = """
import pytest
from heliostat.testing.contract import Contract, asynchronous, not_shown

class Things(Contract):
    kind = "worker_adapter"

    def test_P1_it_is_there(self, under_test):
        assert under_test

    @asynchronous
    async def test_it_is_large(self, under_test):
        assert under_test == "large"

    def test_it_is_loud(self, under_test):
        not_shown("it makes no sound here")

class TestSmall(Things):
    @pytest.fixture
    def under_test(self):
        return "small"

class TestAbsent(Things):
    @pytest.fixture
    def under_test(self):
        pytest.skip("install it first")

class TestForgotten(Things): ...

def test_something_else(): ...
"""

RECORDS = [
    Record("worker_adapter", "local", [Point("P1", Verdict.SHOWN), Point("loud", Verdict.NOT_SHOWN, "no sound")]),
    Record("worker_adapter", "dask", [Point("P1", Verdict.FAILING, "assert 1 == 2")]),
    Record("stitcher", "ffmpeg", [Point("joins", Verdict.SHOWN)]),
]


def run_pytest(folder: Path, *arguments: str) -> str:
    (folder / "test_suite.py").write_text(textwrap.dedent(SUITE))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder)]
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return subprocess.run(
        [*command, *arguments, "test_suite.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    ).stdout


@pytest.mark.parametrize("processes", ["-n0", "-n2"])
def test_the_summary_tells_each_implementation_with_what_it_does_not_show(tmp_path: Path, processes: str):
    out = run_pytest(tmp_path, processes, "--heliostat-parity", "kept/parity.json")
    told = out.partition("what the contracts of Heliostat show")[2].partition("short test summary")[0].splitlines()[1:]
    assert [line for line in told if not line.startswith("=")] == [
        "worker adapter TestAbsent: 0 shown, 3 not shown, 0 failing",
        "  not shown: P1 it is there (install it first)",
        "  not shown: it is large (install it first)",
        "  not shown: it is loud (install it first)",
        "worker adapter TestForgotten: 0 shown, 0 not shown, 3 failing",
        *(
            f"  failing: {point} (NotImplementedError: override the fixture `under_test` of TestForgotten)"
            for point in ("P1 it is there", "it is large", "it is loud")
        ),
        "worker adapter TestSmall: 1 shown, 1 not shown, 1 failing",
        "  failing: it is large (AssertionError: assert 'small' == 'large')",
        "  not shown: it is loud (it makes no sound here)",
    ]
    kept = {record.subject: record for record in read_records(tmp_path / "kept" / "parity.json")}
    assert kept["TestSmall"].count(Verdict.SHOWN) == 1
    assert len(kept) == 3


def test_other_runs_print_no_summary(tmp_path: Path):
    assert "contracts" not in run_pytest(tmp_path, "-k", "something_else")


def test_records_are_kept_and_read_again(tmp_path: Path):
    write_records(RECORDS, tmp_path / "parity.json")
    assert read_records(tmp_path / "parity.json") == RECORDS
    assert json.loads((tmp_path / "parity.json").read_text())[0]["points"][1]["verdict"] == "not shown"


def test_a_file_that_is_no_record_says_how_to_make_one(tmp_path: Path):
    (tmp_path / "parity.json").write_text("[{]")
    with pytest.raises(SpecError, match=r"no parity record .* `pytest --heliostat-parity "):
        read_records(tmp_path / "parity.json")
    with pytest.raises(SpecError, match="no parity record"):
        read_records(tmp_path / "missing.json")


def test_the_table_has_a_column_for_each_implementation():
    assert list(table(RECORDS)) == [
        "worker adapter  local      dask",
        "P1              shown      failing",
        "loud            not shown  -",
        "",
        "stitcher  ffmpeg",
        "joins     shown",
        "",
    ]
    assert list(render(RECORDS[1:2])) == [
        "worker adapter dask: 0 shown, 0 not shown, 1 failing",
        "  failing: P1 (assert 1 == 2)",
    ]
