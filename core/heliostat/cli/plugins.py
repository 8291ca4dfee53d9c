"""`heliostat plugins`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliostat.cli.options import AsJson, Debug

if TYPE_CHECKING:
    from heliostat.plugins import Registration

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
    from heliostat.plugins import registry

    loaded = registry()
    by_plugin: dict[tuple[str, str], list[Registration]] = {}
    for entry in loaded.all():
        by_plugin.setdefault((entry.distribution, entry.plugin), []).append(entry)
    if as_json:
        print_json(
            [
                {
                    "name": plugin.name,
                    "distribution": plugin.distribution,
                    "version": plugin.version,
                    "problem": plugin.problem,
                    "registers": [
                        {
                            "kind": entry.kind,
                            "name": entry.name,
                            "summary": entry.summary,
                            "options": [option for _, option in _options(entry)],
                        }
                        for entry in by_plugin.get((plugin.distribution, plugin.name), [])
                    ],
                }
                for plugin in loaded.plugins
            ]
        )
        return
    for plugin in loaded.plugins:
        typer.echo(f"{plain(plugin.name)}  ({plain(plugin.distribution)} {plain(plugin.version)})")
        if plugin.problem:
            typer.echo(f"  not in use: {plain(plugin.problem)}")
        registered = by_plugin.get((plugin.distribution, plugin.name), [])
        if not registered and not plugin.problem:
            typer.echo("  registers nothing")
        for entry in registered:
            typer.echo(f"  {entry.kind.replace('_', ' ')} {plain(entry.name)}: {plain(entry.summary)}")
            for line, _ in _options(entry):
                typer.echo(f"    {plain(line)}")


def _options(entry: Registration) -> list[tuple[str, dict[str, Any]]]:
    """Each option as a line, `name: type = default`, and as JSON."""
    import json

    import msgspec

    from heliostat.model.codec import to_builtins

    if entry.options is None:
        return []
    described = []
    for option in msgspec.structs.fields(entry.options):
        kind = _type_name(option.type)
        data: dict[str, Any] = {"name": option.encode_name, "type": kind, "required": option.required}
        line = f"{option.encode_name}: {kind}"
        if not option.required:
            default = option.default if option.default_factory is msgspec.NODEFAULT else option.default_factory()
            data["default"] = to_builtins(default)
            line += f" = {json.dumps(data['default'], ensure_ascii=False)}"
        described.append((line, data))
    return described


def _type_name(kind: Any) -> str:
    """`Annotated[float, Meta(ge=0)] | None` as `float | None`."""
    from types import NoneType, UnionType
    from typing import Annotated, Literal, Union, get_args, get_origin

    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type_name, arguments))
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if kind in (None, NoneType):
        return "None"
    if kind is Ellipsis:
        return "..."
    name = getattr(origin or kind, "__name__", str(kind))
    return f"{name}[{', '.join(map(_type_name, arguments))}]" if arguments else name
