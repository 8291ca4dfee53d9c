"""`heliostat plugins --parity`: which points of the contract each worker adapter shows, on this machine and now."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from heliostat.cli import exit_status
from heliostat.cli.faults import say

if TYPE_CHECKING:
    from heliostat.model.status import WorkerChoice
    from heliostat.testing.parity import Record


def report(worker: str | None, pairs: Iterable[str], artifacts: str | None, files: Iterable[Path]) -> int:
    """Print the report of records made earlier, or else of a run; returns the exit status.

    Without a name every adapter is run that can be opened without being told anything. Raises SpecError and
    PluginError.
    """
    from heliostat.testing.parity import Verdict, read_records, render, table

    records = [record for file in files for record in read_records(file)]
    if not records:
        records = [record for choice in _chosen(worker, pairs) for record in _run(choice, artifacts)]
    for line in [*table(records), *render(records)]:
        typer.echo(line)
    failing = sum(record.count(Verdict.FAILING) for record in records)
    return exit_status.FAILED if failing or not records else exit_status.DONE


def _chosen(worker: str | None, pairs: Iterable[str]) -> Iterator[WorkerChoice]:
    from heliostat.cli.plugin_use import choose_worker
    from heliostat.errors import HeliostatError
    from heliostat.plugins import registry

    if worker is not None:
        yield choose_worker(worker, pairs)
        return
    for entry in registry().all("worker_adapter"):
        try:
            asyncio.run(_open(entry.name))
        except HeliostatError as error:
            say(f"{entry.name} was not run ({error}); choose it with --worker {entry.name} --set KEY=VALUE")
        else:
            yield choose_worker(entry.name, ())


async def _open(worker: str) -> None:
    """Raises HeliostatErrors."""
    from heliostat.plugins import open_worker

    async with open_worker(worker):
        pass


def _run(choice: WorkerChoice, artifacts: str | None) -> list[Record]:
    """What the suite shows of one adapter. Raises PluginError."""
    from heliostat.errors import PluginError
    from heliostat.model.codec import to_json
    from heliostat.testing.parity import read_records

    if importlib.util.find_spec("pytest") is None:
        raise PluginError("the contract suite runs on pytest, which is not installed; pip install 'heliostat[testing]'")
    say(f"running the contract suite on {choice.name}, which takes a minute or two …")
    with tempfile.TemporaryDirectory(prefix="heliostat-") as folder:
        record = Path(folder, "parity.json")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short", "--pyargs"),
                *("heliostat.testing.installed", "-p", "no:cacheprovider", "--rootdir", folder),
                *("--heliostat-parity", str(record)),
            ],
            cwd=folder,
            env={
                **os.environ,
                "HELIOSTAT_PARITY_WORKER": to_json(choice).decode(),
                **({"HELIOSTAT_PARITY_ARTIFACTS": artifacts} if artifacts else {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if done.returncode not in (0, 1) or not record.exists():
            raise PluginError(f"the contract suite did not run on {choice.name}: {done.stdout.strip()[-2000:]}")
        return read_records(record)
