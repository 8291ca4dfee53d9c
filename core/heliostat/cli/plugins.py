"""`heliostat plugins`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliostat.cli.options import AsJson, Debug

if TYPE_CHECKING:
    from heliostat.listing import OptionView

EPILOG = """\b
The environment variable HELIOSTAT_PLUGINS is the list of the plugins to load, "a,b"; when it is empty, none is.
Heliostat's own are always there.
"""


def command(
    as_json: AsJson = False,
    parity: Annotated[
        bool,
        typer.Option(
            "--parity",
            help="Run the contract suite on worker adapters, and print which points each one shows, does not show or"
            " fails. Needs heliostat[testing].",
        ),
    ] = False,
    worker: Annotated[
        str | None, typer.Option("--worker", metavar="NAME", help="With --parity: run this adapter alone.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="With --worker: an option of it; may be repeated."),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(
            "--artifacts",
            metavar="URL",
            help="With --worker: an artifact store, when its workers do not share this machine's files.",
        ),
    ] = None,
    record: Annotated[
        list[Path] | None,
        typer.Option(
            "--record",
            metavar="FILE",
            help="With --parity: run nothing, print what `pytest --heliostat-parity FILE` has kept; may be repeated.",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """List plugins, what each registers, and every option with its type and default."""
    if parity:
        from heliostat.cli.parity import report

        raise typer.Exit(report(worker, settings or (), artifacts, record or ()))
    from heliostat.builtin.console.terminal import plain
    from heliostat.cli.printing import print_json
    from heliostat.listing import list_plugins
    from heliostat.model.codec import to_builtins

    plugins = list_plugins()
    if as_json:
        print_json(to_builtins(plugins))
        return
    for plugin in plugins:
        typer.echo(f"{plain(plugin.name)}  ({plain(plugin.distribution)} {plain(plugin.version)})")
        if plugin.problem:
            typer.echo(f"  not in use: {plain(plugin.problem)}")
        if not plugin.registers and not plugin.problem:
            typer.echo("  registers nothing")
        for offer in plugin.registers:
            typer.echo(f"  {offer.kind.replace('_', ' ')} {plain(offer.name)}: {plain(offer.summary)}")
            for option in offer.options:
                typer.echo(f"    {plain(_line(option))}")


def _line(option: OptionView) -> str:
    """`name: type = default`."""
    import json

    line = f"{option.name}: {option.type}"
    return line if option.required else f"{line} = {json.dumps(option.default, ensure_ascii=False)}"
