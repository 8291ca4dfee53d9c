"""`heliostat plugins`."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Heliostat = Callable[..., Any]


def test_lists_what_each_registers_with_options_types_and_defaults(heliostat: Heliostat) -> None:
    done = heliostat("plugins")
    assert done.status == 0
    lines = done.out.splitlines()
    at = lines.index(next(line for line in lines if line.startswith("console  (heliostat ")))
    assert lines[at + 1 : at + 4] == [
        "  progress sink bar: A live display on the terminal.",
        "    rows: int | None = null",
        "    job_dir: str | None = null",
    ]
    assert "    url: str" in lines
    assert "    interval: float = 5.0" in lines


def test_json_has_the_same(heliostat: Heliostat) -> None:
    listed = {plugin["name"]: plugin for plugin in heliostat("plugins", "--json").json}
    assert {"local", "memory", "sql", "console", "json_lines", "webhook", "ffmpeg", "aws", "gcp"} <= set(listed)
    (webhook,) = listed["webhook"]["registers"]
    assert (webhook["kind"], webhook["name"]) == ("progress_sink", "webhook")
    options = {option["name"]: option for option in webhook["options"]}
    assert options["url"] == {"name": "url", "type": "str", "required": True, "doc": "Where to post, http or https."}
    assert options["events"] == {
        "name": "events",
        "type": "tuple[str, ...] | None",
        "required": False,
        "default": None,
        "doc": "Types of events to post; all but chunk_progressed and progressed when None.",
    }
    assert webhook["schema"]["properties"]["timeout"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 10.0,
        "description": "Seconds that one request may take.",
    }
    assert webhook["schema"]["required"] == ["url"]


def test_a_broken_plugin_is_listed_with_its_problem(
    heliostat: Heliostat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "heliostat_broken", raising=False)
    (tmp_path / "heliostat_broken.py").write_text(textwrap.dedent("raise RuntimeError('\\x1b[2J boom')"))
    info = tmp_path / "heliostat_broken-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: heliostat-broken\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[heliostat]\nbroken = heliostat_broken\n")
    done = heliostat("plugins")
    assert done.status == 0
    assert "broken  (heliostat-broken 1.2)\n  not in use: Plugin 'broken' of heliostat-broken 1.2 is not" in done.out
    assert "\x1b" not in done.out
    (broken,) = (plugin for plugin in heliostat("plugins", "--json").json if plugin["name"] == "broken")
    assert "RuntimeError" in broken["problem"]
    assert broken["registers"] == []
    assert heliostat("plugins").err == "", "what is listed needs no warning"
