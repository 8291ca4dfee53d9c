"""Finds plugins, lets them register, and makes what they registered. Built-ins come through the same hooks."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import msgspec
import pluggy

from heliostat import hookspecs
from heliostat.errors import PluginError, SpecError
from heliostat.model.codec import from_builtins

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore
    from heliostat.contracts.progress import ProgressSink
    from heliostat.contracts.repository import JobRepository
    from heliostat.contracts.stitcher import Stitcher
    from heliostat.contracts.worker import WorkerAdapter
    from heliostat.model.status import WorkerChoice

BUILTINS = ("local", "http", "memory", "sql", "file_artifacts", "ffmpeg", "console", "json_lines", "webhook")
"""Modules of `heliostat.builtin`; each registers what it holds."""

KINDS = {
    "worker_adapter": "register_worker_adapters",
    "progress_sink": "register_progress_sinks",
    "repository": "register_repositories",
    "artifact_store": "register_artifact_stores",
    "stitcher": "register_stitchers",
    "command": "register_commands",
}


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a plugin registered."""

    kind: str
    """A key of `KINDS`."""
    name: str
    factory: Callable[..., Any]
    options: type[msgspec.Struct] | None
    summary: str
    plugin: str
    distribution: str


class PluginInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that was found, or that could not be loaded."""

    name: str
    distribution: str
    version: str
    problem: str | None = None
    """One sentence on why it is not in use."""


class Registry:
    """What all loaded plugins registered. Problems are collected, so that one broken plugin leaves the rest usable."""

    def __init__(self) -> None:
        self.plugins: list[PluginInfo] = []
        self._registered: dict[tuple[str, str], Registration] = {}

    @property
    def problems(self) -> list[str]:
        return [plugin.problem for plugin in self.plugins if plugin.problem]

    def all(self, kind: str | None = None) -> Iterator[Registration]:
        """What is registered, of one kind or of all, in the order of registration."""
        return (entry for entry in self._registered.values() if kind in (None, entry.kind))

    def find(self, kind: str, name: str) -> Registration:
        """Raises PluginError with the names that there are."""
        try:
            return self._registered[kind, name]
        except KeyError:
            known = ", ".join(sorted(entry.name for entry in self.all(kind))) or "none"
            problems = "".join(f" {problem}" for problem in self.problems)
            raise PluginError(
                f"no {kind.replace('_', ' ')} is called {name!r}; registered: {known}.{problems}"
            ) from None

    def make(self, kind: str, name: str, settings: Mapping[str, Any], *, strict: bool = True) -> Any:
        """Call a registered factory with its options made from `settings`. Raises PluginError and SpecError."""
        entry = self.find(kind, name)
        if entry.options is None:
            if settings:
                raise SpecError(f"{kind.replace('_', ' ')} {name!r} has no options, got {', '.join(sorted(settings))}")
            return entry.factory()
        return entry.factory(convert_options(entry, settings, strict=strict))

    def add(self, entry: Registration) -> None:
        """Raises PluginError when the name is taken."""
        other = self._registered.setdefault((entry.kind, entry.name), entry)
        if other is not entry:
            raise PluginError(
                f"{entry.kind.replace('_', ' ')} {entry.name!r} of {entry.distribution} is already registered by"
                f" {other.distribution}"
            )


def convert_options(entry: Registration, settings: Mapping[str, Any], *, strict: bool = True) -> msgspec.Struct:
    """Validated options. Without `strict`, text will do for numbers, as on a command line. Raises SpecError."""
    assert entry.options is not None
    fields = {field.encode_name: field for field in msgspec.structs.fields(entry.options)}
    by_name = {field.name: encoded for encoded, field in fields.items()}
    named = {by_name.get(key, key): value for key, value in settings.items()}
    what = f"{entry.kind.replace('_', ' ')} {entry.name!r}"
    if unknown := sorted(set(named) - set(fields)):
        raise SpecError(f"{what} has no option {unknown[0]!r}; it has: {', '.join(sorted(fields)) or 'none'}")
    try:
        return from_builtins(named, entry.options, strict=strict)
    except msgspec.ValidationError as error:
        raise SpecError(f"{what}: {str(error).replace(' - at `$.', ' - option `')}") from None


def check_worker(choice: WorkerChoice) -> None:
    """Raises PluginError for an adapter that nobody registered, and SpecError for options that it does not take."""
    entry = registry().find("worker_adapter", choice.name)
    if entry.options is not None:
        convert_options(entry, choice.options)
    elif choice.options:
        raise SpecError(f"worker adapter {choice.name!r} has no options, got {', '.join(sorted(choice.options))}")


def load(selection: str | None = None) -> Registry:
    """Load the built-ins, then every installed plugin, or only those that `selection` names ("a,b"; "" none)."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    registry = Registry()
    core_version = metadata.version("heliostat")
    for name in BUILTINS:
        module = importlib.import_module(f"heliostat.builtin.{name}")
        manager.register(module, name)
        registry.plugins.append(PluginInfo(name=name, distribution="heliostat", version=core_version))
        _let_register(manager, registry, name, "heliostat")
    wanted = None if selection is None else {name.strip() for name in selection.split(",")} - {""}
    found = set()
    for distribution in metadata.distributions():
        for entry_point in distribution.entry_points.select(group=hookspecs.PROJECT):
            if entry_point.name in found or (wanted is not None and entry_point.name not in wanted):
                continue
            found.add(entry_point.name)
            registry.plugins.append(_load_one(manager, registry, entry_point, distribution))
    for name in sorted((wanted or set()) - found):
        registry.plugins.append(
            PluginInfo(
                name=name,
                distribution="?",
                version="?",
                problem=f"HELIOSTAT_PLUGINS names {name!r}, which no installed distribution provides;"
                " install it or take the name out.",
            )
        )
    return registry


@functools.cache
def registry() -> Registry:
    """The registry of this process, made at the first call; `HELIOSTAT_PLUGINS` is the selection."""
    return load(os.environ.get("HELIOSTAT_PLUGINS"))


def open_worker(name: str, **options: Any) -> WorkerAdapter:
    """A worker adapter by the name it is registered under."""
    return registry().make("worker_adapter", name, options)  # type: ignore[no-any-return]


def open_sink(name: str, **options: Any) -> ProgressSink:
    """A progress sink by the name it is registered under."""
    return registry().make("progress_sink", name, options)  # type: ignore[no-any-return]


def open_stitcher(name: str, **options: Any) -> Stitcher:
    """A stitcher by the name it is registered under."""
    return registry().make("stitcher", name, options)  # type: ignore[no-any-return]


def open_repository(url: str) -> JobRepository:
    """A job repository by URL: `memory:`, `sqlite:///path`, `postgresql://…`, or what a plugin registers."""
    return _by_scheme("repository", url)  # type: ignore[no-any-return]


def open_artifact_store(url: str) -> ArtifactStore:
    """An artifact store by URL: `file:///path`, or what a plugin registers."""
    return _by_scheme("artifact_store", url)  # type: ignore[no-any-return]


def _by_scheme(kind: str, url: str) -> Any:
    scheme, colon, _ = url.partition(":")
    if not colon:
        raise SpecError(f"{url!r} is not a URL; {kind.replace('_', ' ')} URLs look like sqlite:///path")
    return registry().make(kind, scheme, {"url": url})


def _load_one(
    manager: pluggy.PluginManager,
    registry: Registry,
    entry_point: metadata.EntryPoint,
    found_in: metadata.Distribution,
) -> PluginInfo:
    name, distribution, version = entry_point.name, found_in.metadata["Name"], found_in.version
    remedy = (
        f"leave it out with HELIOSTAT_PLUGINS (a list of the plugins to load), or mend or uninstall {distribution}."
    )
    problem = None
    plugin: object = None
    try:
        plugin = entry_point.load()
        manager.register(plugin, name)
        unknown = [
            name
            for name in dir(plugin)
            if name not in KINDS.values() and manager.parse_hookimpl_opts(plugin, name) is not None
        ]
        if unknown:
            raise PluginError(f"there is no hook {unknown[0]!r}")
        _let_register(manager, registry, name, distribution)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a plugin that calls sys.exit() at import must not end the program
        reason = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        reason = " ".join(reason.split())
        problem = f"Plugin {name!r} of {distribution} {version} is not in use ({reason}); {remedy}"
        if plugin is not None and manager.is_registered(plugin):
            manager.unregister(plugin)
    return PluginInfo(name=name, distribution=distribution, version=version, problem=problem)


def _let_register(manager: pluggy.PluginManager, registry: Registry, plugin: str, distribution: str) -> None:
    """Call one plugin's hooks. What it registers counts only when all of its hooks go through."""
    others = [other for name, other in manager.list_name_plugin() if name != plugin]
    staged: list[Registration] = []
    for kind, hook in KINDS.items():

        def register(
            name: str,
            factory: Callable[..., Any],
            *,
            options: type[msgspec.Struct] | None = None,
            summary: str = "",
            kind: str = kind,
        ) -> None:
            staged.append(
                Registration(
                    kind=kind,
                    name=name,
                    factory=factory,
                    options=options,
                    summary=summary,
                    plugin=plugin,
                    distribution=distribution,
                )
            )

        manager.subset_hook_caller(hook, others)(register=register)
    taken = {(entry.kind, entry.name): entry for entry in registry.all()}
    for entry in staged:
        if (other := taken.get((entry.kind, entry.name))) is not None:
            raise PluginError(
                f"{entry.kind.replace('_', ' ')} {entry.name!r} is already registered by {other.distribution}"
            )
        taken[entry.kind, entry.name] = entry
    for entry in staged:
        registry.add(entry)
