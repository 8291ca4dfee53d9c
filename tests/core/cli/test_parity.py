"""`heliostat plugins --parity`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heliostat.testing.parity import Point, Record, Verdict, write_records

Heliostat = Callable[..., Any]


def test_prints_records_that_were_kept(heliostat: Heliostat, tmp_path: Path) -> None:
    shown = Record("worker_adapter", "dask", [Point("P1", Verdict.SHOWN), Point("loud", Verdict.NOT_SHOWN, "no sound")])
    failing = Record("worker_adapter", "lambda", [Point("P1", Verdict.FAILING, "assert 1 == 2")])
    write_records([shown], tmp_path / "dask.json")
    write_records([failing], tmp_path / "lambda.json")
    done = heliostat("plugins", "--parity", "--record", str(tmp_path / "dask.json"))
    assert (done.status, done.out.splitlines()) == (
        0,
        [
            "worker adapter  dask",
            "P1              shown",
            "loud            not shown",
            "",
            "worker adapter dask: 1 shown, 1 not shown, 0 failing",
            "  not shown: loud (no sound)",
        ],
    )
    both = ["--record", str(tmp_path / "dask.json"), "--record", str(tmp_path / "lambda.json")]
    done = heliostat("plugins", "--parity", *both)
    assert done.status == 1, "something fails"
    assert "P1              shown      failing" in done.out.splitlines()


def test_runs_the_suite_on_what_is_installed(
    heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k 'P4 or throttled'")
    done = heliostat("plugins", "--parity")
    assert done.status == 0
    assert done.out.splitlines()[-2:] == [
        "worker adapter local: 2 shown, 1 not shown, 0 failing",
        "  not shown: throttled costs no attempt and lowers concurrency (nothing was given that provokes throttled)",
    ]
    assert "running the contract suite on local" in done.err
    assert "aws-lambda was not run (no function is named; give --set stack=NAME" in done.err


BROKEN = """
from heliostat import WorkerAdapter, hookimpl
from heliostat.errors import Misconfigured


class Broken(WorkerAdapter):
    async def run(self, request, report):
        raise Misconfigured("there is no such farm; build one")


@hookimpl
def register_worker_adapters(register):
    register("broken", Broken)
"""


def test_an_adapter_that_fails_is_told_so(
    heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "heliostat_broken.py").write_text(BROKEN)
    info = tmp_path / "heliostat_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: heliostat-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[heliostat]\nbroken = heliostat_broken\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k 'P4 or P6'")
    done = heliostat("plugins", "--parity", "--worker", "broken")
    assert done.status == 1
    assert "worker adapter broken: 1 shown, 1 not shown, 1 failing" in done.out
    assert (
        "not shown: P6 nothing is told after a cancel (its commands cannot reach the machine of the tests)" in done.out
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--worker", "locla"], "no worker adapter is called 'locla'"),
        (["--worker", "local", "--set", "graze=1"], "worker adapter 'local' has no option 'graze'"),
        (["--record", "nothing.json"], "no parity record"),
    ],
)
def test_what_is_wrong_is_one_sentence(heliostat: Heliostat, arguments: list[str], said: str) -> None:
    done = heliostat("plugins", "--parity", *arguments)
    assert done.status == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1
