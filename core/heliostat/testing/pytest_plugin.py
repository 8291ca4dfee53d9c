"""What pytest does with contract suites: every run ends with a summary of what was shown of each implementation, and
`--heliostat-parity FILE` keeps it, for `heliostat plugins --parity`.

Loaded by pytest in every environment that has Heliostat, so nothing else is imported before a contract is collected.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from heliostat.testing.parity import Record

_CONTRACT = "heliostat_contract"

for _suite in ("contract", "artifacts", "progress", "repository", "repository_model", "stitcher", "worker"):
    pytest.register_assert_rewrite(f"heliostat.testing.{_suite}")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("heliostat", "Heliostat's contract suites")
    group.addoption("--heliostat-parity", metavar="FILE", help="write what each implementation has shown, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a process of pytest-xdist tells its results to the one that started it
        config.pluginmanager.register(_Recorder(config.getoption("--heliostat-parity")), "heliostat-parity")


def pytest_itemcollected(item: pytest.Item) -> None:
    kind = getattr(getattr(item, "cls", None), "kind", None)
    if kind is None or not any(base.__module__ == "heliostat.testing.contract" for base in item.cls.__mro__):  # type: ignore[attr-defined]
        return
    point = item.name.removeprefix("test_").replace("_", " ")
    item.user_properties.append((_CONTRACT, [kind, item.cls.__name__, point]))  # type: ignore[attr-defined]


class _Recorder:
    """Listens to the reports of all tests, also those that ran in other processes."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._records: dict[tuple[str, str], Record] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties: dict[str, Any] = dict(report.user_properties)
        if _CONTRACT not in properties or not (report.when == "call" or report.outcome != "passed"):
            return
        from heliostat.testing.contract import SUBJECT, reason_of
        from heliostat.testing.parity import Point, Record, Verdict

        kind, test_class, name = properties[_CONTRACT]
        subject = properties.get(SUBJECT, test_class)
        record = self._records.setdefault((kind, subject), Record(kind, subject, []))
        if report.outcome == "passed":
            point = Point(name, Verdict.SHOWN)
        elif report.outcome == "skipped":
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            point = Point(name, Verdict.NOT_SHOWN, reason_of(reason))
        else:
            crash = getattr(report.longrepr, "reprcrash", None)
            point = Point(name, Verdict.FAILING, str(crash.message).splitlines()[0] if crash else "")
        record.points = [other for other in record.points if other.name != name] + [point]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self._records:
            return
        from heliostat.testing.parity import render, write_records

        records = sorted(self._records.values(), key=lambda record: (record.kind, record.subject))
        for record in records:
            record.points.sort(key=lambda point: point.name)
        terminalreporter.section("what the contracts of Heliostat show")
        for line in render(records):
            terminalreporter.line(line)
        if self._path is not None:
            write_records(records, Path(self._path))
