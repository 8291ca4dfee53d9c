"""What an attempt costs on Cloud Run, estimated: the bill rounds up, and knows a free tier."""

from __future__ import annotations

import msgspec

from heliostat import ChunkResult, Usage
from heliostat_gcp.admin_api import Size


class Prices(msgspec.Struct, frozen=True):
    """https://cloud.google.com/run/pricing."""

    usd_per_vcpu_second: float
    usd_per_gib_second: float


def with_usage(result: ChunkResult, size: Size | None, prices: Prices, log_url: str | None) -> ChunkResult:
    """The result with what it cost and where its log is. `size` is None where it is not known."""
    if size is None:
        return msgspec.structs.replace(result, log_url=log_url)
    seconds = result.duration
    cost = seconds * (size.cpus * prices.usd_per_vcpu_second + size.memory_mb / 1024 * prices.usd_per_gib_second)
    usage = Usage(billed_seconds=round(seconds, 3), memory_mb=size.memory_mb, cost_usd=round(cost, 9))
    return msgspec.structs.replace(result, usage=usage, log_url=log_url)
