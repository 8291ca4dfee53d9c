"""`heliostat plugin`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heliostat.cli.options import Debug


def command() -> None:
    """Start a plugin of your own.

    A plugin is a distribution with an entry point; the guide for its author is plugins/README.md in Heliostat's
    repository.
    """


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What --worker will call it: lower-case letters, digits and hyphens.")
    ],
    directory: Annotated[
        Path | None,
        typer.Option("--directory", metavar="DIR", help="Where to write it.  [default: heliostat-NAME, here]"),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a plugin with a working adapter, its options and its tests.

    The adapter runs chunks in processes on this machine and passes Heliostat's contract for adapters; change how it
    starts a worker and talks to it.
    """
    import shlex

    from heliostat.cli.plugin_use import warn_of_plugins
    from heliostat.cli.scaffold.names import Names
    from heliostat.cli.scaffold.writer import write_plugin

    warn_of_plugins()
    names = Names.of(name)
    _refuse_if_taken(names.name)
    directory = directory or Path(names.distribution)
    written = write_plugin(names, directory)
    typer.echo(f"Wrote {names.distribution}, with a worker adapter that works:")
    for path in written:
        typer.echo(f"  {directory / path}")
    typer.echo("Run its tests, the contract for adapters among them, which takes a minute or two:")
    typer.echo(f"  cd {shlex.quote(str(directory))} && uv run --extra dev pytest")


def _refuse_if_taken(name: str) -> None:
    """Raises SpecError. Plugins have names too, and of two with one name only the first is loaded."""
    from heliostat.errors import SpecError
    from heliostat.plugins import registry

    loaded = registry()
    takers = [entry.distribution for entry in loaded.all("worker_adapter") if entry.name == name]
    takers += [plugin.distribution for plugin in loaded.plugins if plugin.name == name and plugin.distribution != "?"]
    if takers:
        raise SpecError(f"the name {name!r} is taken by {takers[0]}; choose another")


SUBCOMMANDS = {"new": new}
