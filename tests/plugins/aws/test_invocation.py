"""What Lambda says of an invocation, and what that costs."""

from __future__ import annotations

import pytest

from heliostat_aws.invocation import Report, log_url, read_report, usage_of

LOG = """START RequestId: 1 Version: $LATEST
REPORT RequestId: lies the command
END RequestId: 1
REPORT RequestId: 1\tDuration: 1999.50 ms\tBilled Duration: 2000 ms\tMemory Size: 3008 MB\tMax Memory Used: 91 MB\t
"""


def test_the_report_is_read_from_the_end_of_the_log():
    assert read_report(LOG) == Report(billed_seconds=2.0, memory_mb=3008, used_mb=91)
    assert read_report("no report here") == Report()


def test_the_estimate_is_that_of_the_price_list():
    """2 s of 3,008 MB at $0.0000166667 a GB-second, and one request at $0.20 a million."""
    usage = usage_of(read_report(LOG), 0.0000166667)
    assert usage is not None
    assert (usage.billed_seconds, usage.memory_mb) == (2.0, 3008)
    assert usage.cost_usd == pytest.approx(2 * 3008 / 1024 * 0.0000166667 + 0.2e-6, abs=1e-9)
    assert usage_of(Report(), 0.1) is None


def test_the_log_is_a_page_of_the_console():
    assert log_url("eu-west-1", "/aws/lambda/film", "2026/11/25/[$LATEST]ab") == (
        "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/"
        "$252Faws$252Flambda$252Ffilm/log-events/2026$252F11$252F25$252F$255B$2524LATEST$255Dab"
    )
