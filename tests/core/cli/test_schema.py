"""`heliostat schema`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_prints_one_json_schema(heliostat: Callable[..., Any]) -> None:
    done = heliostat("schema")
    assert done.status == 0
    assert done.json["$schema"] == "https://json-schema.org/draft/2020-12/schema"
