"""The command group: what there is, and help."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heliostat.cli.app import COMMANDS

Heliostat = Callable[..., Any]


def test_help_lists_every_command_with_its_summary(heliostat: Heliostat) -> None:
    done = heliostat("--help")
    assert done.status == 0
    for name, summary in COMMANDS.items():
        assert f"\n  {name:<11}  {summary}\n" in done.out
    assert "--install-completion" in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_explains_each_option(name: str, heliostat: Heliostat) -> None:
    module = importlib.import_module(f"heliostat.cli.{name.replace('-', '_')}")
    assert inspect.cleandoc(module.command.__doc__).splitlines()[0].startswith(COMMANDS[name].rstrip(".")) or name in (
        "logs",
        "plugins",
        "show",
    )
    done = heliostat(name, "--help")
    assert done.status == 0
    assert done.out.startswith(f"Usage: heliostat {name} ")
    options = done.out.partition("\nOptions:\n")[2].partition("\n\n")[0]
    for entry in textwrap.dedent(options).split("\n-"):
        assert "  " in entry, f"{entry!r} is not explained"


def test_without_a_command_it_shows_help_and_fails(heliostat: Heliostat) -> None:
    done = heliostat()
    assert done.status == 2
    assert "Commands:" in done.out + done.err


def test_a_mistyped_command_is_answered_with_a_suggestion(heliostat: Heliostat) -> None:
    done = heliostat("rendr")
    assert done.status == 2
    assert "No such command 'rendr'. Did you mean 'render'" in done.err


def test_an_unknown_option_is_wrong_input(heliostat: Heliostat) -> None:
    assert heliostat("jobs", "--limt", "3").status == 2


def test_version_is_that_of_the_distribution(heliostat: Heliostat) -> None:
    from importlib.metadata import version

    for args in (["version"], ["--version"]):
        done = heliostat(*args)
        assert (done.status, done.out) == (0, version("heliostat") + "\n")


def test_help_imports_nothing_heavy() -> None:
    program = """
        import sys
        sys.argv = ["heliostat", "--help"]
        from heliostat.cli.main import run
        try:
            run()
        except SystemExit:
            heavy = ("asyncio", "sqlalchemy", "rich", "aiohttp", "pydantic", "logging", "heliostat.manager",
                     "heliostat.executor", "heliostat.planning", "heliostat.cli.render")
            print([name for name in heavy if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


class TestPlugInCommands:
    @pytest.fixture
    def plug_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Puts a distribution on the path whose plugin has this source."""
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "heliostat_extra", raising=False)

        def write(source: str) -> None:
            (tmp_path / "heliostat_extra.py").write_text(textwrap.dedent(source))
            info = tmp_path / "heliostat_extra-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: heliostat-extra\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text("[heliostat]\nextra = heliostat_extra\n")

        return write

    def test_become_groups_and_show_in_help(self, plug_in: Callable[[str], None], heliostat: Heliostat) -> None:
        plug_in(
            """
            from heliostat import hookimpl

            def make():
                import typer
                app = typer.Typer(help="Deploys workers.")
                @app.command()
                def deploy(name: str): typer.echo(f"deployed {name}")
                @app.command()
                def destroy(): raise RuntimeError("no")
                return app

            @hookimpl
            def register_commands(register):
                register("extra", make, summary="Extra things.")
                register("render", make, summary="Takes the place of render?")
            """
        )
        assert "Commands of plugins:\n  extra  Extra things.\n" in heliostat("--help").out
        assert heliostat("extra", "deploy", "x").out == "deployed x\n"
        assert "Usage: heliostat extra [OPTIONS] COMMAND" in heliostat("extra", "--help").out
        failed = heliostat("extra", "destroy")
        assert (failed.status, failed.err.startswith("heliostat: error: RuntimeError: no")) == (1, True)
        assert "Render a job" in heliostat("render", "--help").out

    def test_one_that_cannot_be_made_is_a_sentence(self, plug_in: Callable[[str], None], heliostat: Heliostat) -> None:
        plug_in(
            """
            from heliostat import hookimpl

            def make(): raise ImportError("no cloud")

            @hookimpl
            def register_commands(register): register("extra", make, summary="Extra things.")
            """
        )
        assert heliostat("--help").status == 0
        done = heliostat("extra")
        assert done.status == 2
        assert done.err.startswith("heliostat: error: command 'extra' of heliostat-extra cannot be used (ImportError")


@pytest.mark.parametrize(
    ("words", "offered"),
    [("heliostat re", {"render", "resume", "retry"}), ("heliostat render --work", {"--worker"})],
)
def test_the_shell_is_offered_commands_and_options(words: str, offered: set[str]) -> None:
    assert complete(words) == offered


def test_the_shell_is_offered_names_of_plugins() -> None:
    assert complete("heliostat render --worker lo") == {"local"}
    assert complete("heliostat render --sink web") == {"webhook"}
    assert complete("heliostat render --progress l") == {"lines"}


def complete(words: str) -> set[str]:
    env = {**os.environ, "_HELIOSTAT_COMPLETE": "complete_bash", "COMP_WORDS": words}
    env["COMP_CWORD"] = str(len(words.split()) - 1)
    program = "import sys; sys.argv = ['heliostat']; from heliostat.cli.main import run; run()"
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return set(done.stdout.split())
