"""The parity report: which points of its contract each implementation has shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from heliostat.errors import SpecError
from heliostat.model.codec import from_json


class Verdict(StrEnum):
    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    FAILING = "failing"


class Point(msgspec.Struct, frozen=True, omit_defaults=True):
    """One test of a contract."""

    name: str
    verdict: Verdict
    reason: str = ""
    """Why it is not shown, or the last line of its failure."""


class Record(msgspec.Struct, omit_defaults=True):
    """What one run has shown of one implementation."""

    kind: str
    """`worker_adapter`, `repository`, …"""
    subject: str
    points: list[Point] = []

    def count(self, verdict: Verdict) -> int:
        return sum(point.verdict is verdict for point in self.points)


def write_records(records: Iterable[Record], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(records)), indent=1) + b"\n")


def read_records(path: Path) -> list[Record]:
    """Raises SpecError for a file that is none."""
    try:
        return from_json(path.read_bytes(), list[Record])
    except (OSError, msgspec.DecodeError) as error:
        raise SpecError(
            f"{path} is no parity record ({error}); write one with `pytest --heliostat-parity {path}`"
        ) from None


def render(records: Iterable[Record]) -> Iterator[str]:
    """The report, in lines: a summary of each implementation, then what it did not show and what fails."""
    for record in records:
        counts = ", ".join(f"{record.count(verdict)} {verdict}" for verdict in Verdict)
        yield f"{record.kind.replace('_', ' ')} {record.subject}: {counts}"
        for point in record.points:
            if point.verdict is not Verdict.SHOWN:
                yield f"  {point.verdict}: {point.name}" + (f" ({point.reason})" if point.reason else "")


def table(records: Iterable[Record]) -> Iterator[str]:
    """All points in lines, with one column for each implementation."""
    for kind, group in _by_kind(records).items():
        names = list(dict.fromkeys(point.name for record in group for point in record.points))
        verdicts = [{point.name: str(point.verdict) for point in record.points} for record in group]
        rows = [[kind.replace("_", " "), *(record.subject for record in group)]]
        rows += [[name, *(column.get(name, "-") for column in verdicts)] for name in names]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield ""


def _by_kind(records: Iterable[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.kind, []).append(record)
    return groups
