"""One invocation of the function: what is sent, what Lambda says of it, what it cost."""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import quote

from msgspec import Struct

from heliostat import Usage

USD_PER_REQUEST: Final = 0.20 / 1e6
"""https://aws.amazon.com/lambda/pricing, all regions but a few."""


class Delivery(Struct, frozen=True, rename="camel"):
    """What stands beside the request of the wire format: how the worker answers."""

    call_id: str
    """New for each call of the function. Lambda may deliver one call several times, and an attempt may be called twice;
    this tells the two apart."""
    invocation: Literal["sync", "event"] = "sync"
    reply_queue: str | None = None
    """The URL of the queue that reports go to, and in event mode the result."""


class Stored(Struct, frozen=True, tag="stored"):
    """In place of a result that is too large for its way: the key in the artifact store where it lies."""

    key: str


class Report(Struct, frozen=True):
    """The line REPORT with which Lambda ends an invocation's log."""

    billed_seconds: float | None = None
    memory_mb: int | None = None
    used_mb: int | None = None

    @property
    def used_all_memory(self) -> bool:
        return self.memory_mb is not None and self.used_mb is not None and self.used_mb >= self.memory_mb


def read_report(log: str) -> Report:
    """From the end of an invocation's log."""
    _, _, line = log.rpartition("REPORT RequestId:")

    def number(name: str) -> float | None:
        found = re.search(rf"{name}: ([0-9.]+) ", line)
        return float(found[1]) if found else None

    billed, memory, used = number("Billed Duration"), number("Memory Size"), number("Max Memory Used")
    return Report(
        None if billed is None else billed / 1000,
        None if memory is None else int(memory),
        None if used is None else int(used),
    )


def usage_of(report: Report, usd_per_gb_second: float) -> Usage | None:
    """What an invocation costs, without the free tier."""
    if report.billed_seconds is None or report.memory_mb is None:
        return None
    cost = report.billed_seconds * report.memory_mb / 1024 * usd_per_gb_second + USD_PER_REQUEST
    return Usage(billed_seconds=report.billed_seconds, memory_mb=report.memory_mb, cost_usd=round(cost, 9))


def log_url(region: str, group: str, stream: str = "") -> str:
    """The page of a log in the console of CloudWatch, which wants its names quoted twice, with $ for %."""

    def twice(name: str) -> str:
        return quote(quote(name, safe=""), safe="").replace("%", "$")

    page = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logsV2:log-groups/log-group/"
    return page + twice(group) + (f"/log-events/{twice(stream)}" if stream else "")
