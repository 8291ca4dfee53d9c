"""The command line: which commands there are. Each is imported when it is asked for, so that help is instant."""

from __future__ import annotations

import contextlib
import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from heliostat.plugins import Registration

COMMANDS = {
    "render": "Render a job and join its chunks into a film.",
    "transcode": "Encode a video file anew, in parallel chunks.",
    "plan": "Print the chunks of a job without running it.",
    "submit": "Store a job for a later `run-pending`.",
    "run-pending": "Run the jobs that were submitted.",
    "jobs": "List jobs, the newest first.",
    "show": "Show what is known of a job.",
    "watch": "Follow a job that another process runs.",
    "logs": "Print what a job's commands have written.",
    "pause": "Let running chunks finish and start no more.",
    "resume": "Run what is missing of a job.",
    "retry": "Run only the failed chunks of a job again.",
    "cancel": "Stop a job and its running chunks.",
    "delete": "Forget jobs and delete their logs.",
    "plugins": "List plugins and what they offer.",
    "plugin": "Start a plugin of your own.",
    "studio": "Serve a web page and an API, and run pending jobs.",
    "worker": "Lend this machine to coordinators elsewhere.",
    "schema": "Print the JSON Schema of job files.",
    "version": "Print the version.",
}
"""Each lives in the module of its name, as a function `command` with the summary as the first line of its docstring. A
module with `SUBCOMMANDS`, functions by name, makes a group of them."""

_PLAIN: Any = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}


class CommandGroup(TyperGroup):
    """Heliostat's own commands, and those that plugins register."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *_of_plugins()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            if cmd_name in COMMANDS:
                module = importlib.import_module(f"heliostat.cli.{cmd_name.replace('-', '_')}")
                self.commands[cmd_name] = _of_module(cmd_name, module)
            elif cmd_name in (plugged := _of_plugins()):
                self.commands[cmd_name] = _plugged_in(plugged[cmd_name])
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None:
            from heliostat.errors import PluginError

            for name in self.list_commands(ctx):  # all names are needed for a suggestion
                with contextlib.suppress(PluginError):
                    self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        if plugged := _of_plugins():
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(entry.name, entry.summary) for entry in plugged.values()])


def make_app() -> typer.Typer:
    app = typer.Typer(
        name="heliostat",
        cls=CommandGroup,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(heliostat)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from heliostat.cli.version import command

        command()
        raise typer.Exit


def heliostat(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Render a film in chunks on many workers at once, with progress that is exact and durable."""


def _of_module(name: str, module: ModuleType) -> Any:
    app = typer.Typer(**_PLAIN)
    shared: Any = {"context_settings": {"help_option_names": ["--help", "-h"]}}
    if subcommands := getattr(module, "SUBCOMMANDS", None):
        app.callback(no_args_is_help=True, **shared)(module.command)
        for subname, function in subcommands.items():
            app.command(subname, **shared)(function)
    else:
        app.command(name, epilog=getattr(module, "EPILOG", None), **shared)(module.command)
    return typer.main.get_command(app)


def _of_plugins() -> dict[str, Registration]:
    """Commands of plugins by name. Heliostat's own cannot be replaced."""
    from heliostat.plugins import registry

    return {entry.name: entry for entry in registry().all("command") if entry.name not in COMMANDS}


def _plugged_in(entry: Registration) -> Any:
    """Raises PluginError when the plugin cannot make its command."""
    from heliostat.errors import PluginError

    try:
        app = entry.factory()
        command = typer.main.get_command(app)
    except Exception as error:
        raise PluginError(
            f"command {entry.name!r} of {entry.distribution} cannot be used ({type(error).__name__}: {error}); leave"
            " the plugin out with HELIOSTAT_PLUGINS (a list of the plugins to load), or mend or uninstall it"
        ) from error
    command.name = entry.name
    return command
