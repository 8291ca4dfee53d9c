"""Plugins as the command line uses them: problems told once, options as text, adapters and sinks by name."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heliostat.contracts.progress import ProgressSink
    from heliostat.model.status import WorkerChoice
    from heliostat.plugins import Registration


@functools.cache
def warn_of_plugins() -> None:
    """Say, once in a process, which plugins are not in use."""
    from heliostat.builtin.console.terminal import plain
    from heliostat.cli.faults import say
    from heliostat.plugins import registry

    for problem in registry().problems:
        say(f"warning: {plain(problem)}")


def choose_worker(name: str, pairs: Iterable[str]) -> WorkerChoice:
    """A worker adapter with its options checked. Raises PluginError and SpecError."""
    from heliostat.model.status import WorkerChoice
    from heliostat.plugins import registry

    entry = registry().find("worker_adapter", name)
    return WorkerChoice(name, checked_settings(entry, dict(map(_pair, pairs))))


def make_sinks(names: Iterable[str], pairs: Iterable[str]) -> list[ProgressSink]:
    """The sinks of these names; `pairs` are `NAME.KEY=VALUE`. Raises PluginError and SpecError."""
    from heliostat.errors import SpecError
    from heliostat.plugins import open_sink, registry

    settings: dict[str, dict[str, str]] = {name: {} for name in names}
    for pair in pairs:
        key, value = _pair(pair)
        name, dot, option = key.partition(".")
        if not dot or name not in settings:
            raise SpecError(f"--sink-set {pair}: write NAME.KEY=VALUE, with the NAME of a sink that is in use")
        settings[name][option] = value
    return [
        open_sink(name, **checked_settings(registry().find("progress_sink", name), given))
        for name, given in settings.items()
    ]


def checked_settings(entry: Registration, given: dict[str, str]) -> dict[str, Any]:
    """Options that were given as text, as what their types say. Raises SpecError."""
    from msgspec.structs import fields

    from heliostat.errors import SpecError
    from heliostat.model.codec import to_builtins
    from heliostat.plugins import convert_options

    if entry.options is None:
        if given:
            raise SpecError(f"{entry.kind.replace('_', ' ')} {entry.name!r} has no options")
        return {}
    known = {name: field for field in fields(entry.options) for name in (field.name, field.encode_name)}
    values = {key: _value(text, known[key].type) if key in known else text for key, text in given.items()}
    options = convert_options(entry, values, strict=False)
    return {known[key].encode_name: to_builtins(getattr(options, known[key].name)) for key in given}


def _value(text: str, kind: Any) -> object:
    """Text as it is; but a list may be written with commas, and what has parts in JSON."""
    from msgspec import inspect

    described = inspect.type_info(kind)
    kinds = described.types if isinstance(described, inspect.UnionType) else (described,)
    if any(isinstance(kind, inspect.StrType) for kind in kinds):
        return text
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    lists = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)
    return [part.strip() for part in text.split(",")] if any(isinstance(kind, lists) for kind in kinds) else text


def _pair(text: str) -> tuple[str, str]:
    from heliostat.errors import SpecError

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise SpecError(f"{text!r} is no setting; write KEY=VALUE")
    return key, value
