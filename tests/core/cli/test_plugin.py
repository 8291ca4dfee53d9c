"""`heliostat plugin new`. That what it writes works is shown in tests/functional/test_scaffold.py."""

from __future__ import annotations

import ast
import importlib
import json
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from heliostat.cli.scaffold.names import Names
from heliostat.cli.scaffold.origin import uv_source
from heliostat.errors import SpecError

Heliostat = Callable[..., Any]

PUBLIC = ("heliostat", "heliostat.errors", "heliostat.worker", "heliostat.testing")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_writes_a_distribution_and_says_how_to_test_it(heliostat: Heliostat, tmp_path: Path) -> None:
    done = heliostat("plugin", "new", "my-farm")
    assert (done.status, done.err) == (0, "")
    first, *paths, _, command = done.out.splitlines()
    assert first.startswith("Wrote heliostat-my-farm")
    assert command == "  cd heliostat-my-farm && uv run --extra dev pytest"
    assert files(tmp_path / "heliostat-my-farm") == {
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "heliostat_my_farm/__init__.py",
        "heliostat_my_farm/adapter.py",
        "heliostat_my_farm/options.py",
        "heliostat_my_farm/plugin.py",
        "heliostat_my_farm/py.typed",
        "tests/test_adapter.py",
        "tests/test_contract.py",
    }
    assert {line.strip() for line in paths} == files(tmp_path) - {"jobs.db"}


def test_the_project_file_names_the_entry_point_and_this_heliostat(heliostat: Heliostat, tmp_path: Path) -> None:
    heliostat("plugin", "new", "my-farm")
    project = tomllib.loads((tmp_path / "heliostat-my-farm" / "pyproject.toml").read_text())
    assert project["project"]["name"] == "heliostat-my-farm"
    assert project["project"]["entry-points"]["heliostat"] == {"my-farm": "heliostat_my_farm.plugin"}
    assert project["project"]["dependencies"] == [f"heliostat>={metadata.version('heliostat')}"]
    recorded = metadata.distribution("heliostat").read_text("direct_url.json")
    assert ("sources" in project.get("tool", {}).get("uv", {})) is (recorded is not None)


def test_every_placeholder_is_filled_in(heliostat: Heliostat, tmp_path: Path) -> None:
    heliostat("plugin", "new", "my-farm")
    for path in files(tmp_path / "heliostat-my-farm"):
        text = (tmp_path / "heliostat-my-farm" / path).read_text()
        assert "$" not in text, path
        assert "my-farm" in text or "MyFarm" in text or path in (".gitignore", "heliostat_my_farm/py.typed"), path


def test_what_it_writes_imports_only_public_names(heliostat: Heliostat, tmp_path: Path) -> None:
    heliostat("plugin", "new", "ssh")
    imported = 0
    for path in (tmp_path / "heliostat-ssh").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "heliostat":
                assert node.module in PUBLIC, f"{path}: {node.module}"
                module = importlib.import_module(node.module)
                for alias in node.names:
                    imported += 1
                    assert alias.name in getattr(module, "__all__", dir(module)), f"{path}: {alias.name}"
            elif isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.startswith("heliostat")], path
    assert imported > 10


@pytest.mark.parametrize(
    ("typed", "name", "module", "prefix"),
    [
        ("ssh", "ssh", "heliostat_ssh", "Ssh"),
        ("heliostat-ssh", "ssh", "heliostat_ssh", "Ssh"),
        ("my-farm2", "my-farm2", "heliostat_my_farm2", "MyFarm2"),
    ],
)
def test_all_names_follow_from_one(typed: str, name: str, module: str, prefix: str) -> None:
    names = Names.of(typed)
    assert (names.name, names.module, names.prefix) == (name, module, prefix)
    assert names.distribution == f"heliostat-{name}"


@pytest.mark.parametrize(
    "typed", ["", "heliostat-", "Farm", "my_farm", "my--farm", "farm-", "3d", "a/b", "../x", "ssh\n", "lichtmühle"]
)
def test_what_cannot_name_a_plugin_is_refused_in_one_sentence(typed: str, heliostat: Heliostat, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot name a plugin; take lower-case letters"):
        Names.of(typed)
    done = heliostat("plugin", "new", typed)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "owner"), [("local", "heliostat"), ("sql", "heliostat"), ("gcp", "heliostat-gcp")])
def test_the_name_of_an_adapter_or_a_plugin_is_refused(
    name: str, owner: str, heliostat: Heliostat, tmp_path: Path
) -> None:
    done = heliostat("plugin", "new", name)
    assert (done.status, done.out) == (2, "")
    assert done.err == f"heliostat: error: the name {name!r} is taken by {owner}; choose another\n"
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_ones_own_may_be_given_and_may_be_there_when_it_is_empty(
    heliostat: Heliostat, tmp_path: Path
) -> None:
    (tmp_path / "my plugins").mkdir()
    done = heliostat("plugin", "new", "ssh", "--directory", "my plugins")
    assert done.status == 0
    assert done.out.endswith("\n  cd 'my plugins' && uv run --extra dev pytest\n")
    assert "heliostat_ssh/plugin.py" in files(tmp_path / "my plugins")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_there_is_not_written_over(kind: str, heliostat: Heliostat, tmp_path: Path) -> None:
    there = tmp_path / "heliostat-ssh"
    if kind == "folder":
        there.mkdir()
        there = there / "README.md"
    there.write_text("mine")
    done = heliostat("plugin", "new", "ssh")
    assert (done.status, done.out) == (2, "")
    assert "heliostat-ssh is there and is no empty folder; choose another with --directory DIR\n" in done.err
    assert there.read_text() == "mine"
    assert len(files(tmp_path)) == 1


def test_help_explains_the_one_command_and_its_options(heliostat: Heliostat) -> None:
    assert "\n  new  Write a plugin with a working adapter" in heliostat("plugin", "--help").out
    alone = heliostat("plugin")
    assert (alone.status, "\n  new  " in alone.out + alone.err) == (2, True)
    shown = heliostat("plugin", "new", "--help").out
    for text in ("What --worker will call it", "--directory DIR", "[default: heliostat-NAME, here]"):
        assert text in shown


@pytest.mark.parametrize(
    ("direct_url", "source"),
    [
        ({"url": "file:///a%20b/main", "dir_info": {"editable": True}}, {"path": "/a b/main", "editable": True}),
        ({"url": "file:///main", "dir_info": {}}, {"path": "/main"}),
        ({"url": "file:///dist/h-1.whl", "archive_info": {}}, {"path": "/dist/h-1.whl"}),
        ({"url": "https://example.com/h-1.whl", "archive_info": {}}, {"url": "https://example.com/h-1.whl"}),
        (
            {"url": "https://example.com/h.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            {"git": "https://example.com/h.git", "rev": "abc"},
        ),
    ],
)
def test_uv_is_told_where_a_heliostat_came_from_that_no_index_has(
    direct_url: dict[str, Any], source: dict[str, Any]
) -> None:
    entry = uv_source(json.dumps(direct_url))
    assert tomllib.loads(f"heliostat = {entry}")["heliostat"] == source


def test_a_heliostat_from_a_package_index_needs_no_source() -> None:
    assert uv_source(None) is None
