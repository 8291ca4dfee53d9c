"""Discovery and registration. The plugins are distributions that the tests write: a `dist-info` folder and a module."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from heliostat import plugins
from heliostat.errors import PluginError, SpecError
from heliostat.plugins import Registration, Registry, convert_options

Install = Callable[..., None]

GOOD = """
    import msgspec
    from heliostat import hookimpl

    class Options(msgspec.Struct, frozen=True):
        shout: bool = False

    class Sink:
        def __init__(self, options):
            self.options = options
        def handle(self, event):
            pass

    @hookimpl
    def register_progress_sinks(register):
        register("echo", Sink, options=Options, summary="Echoes.")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("heliostat-foo", source)` puts a distribution with one plugin, `foo`, on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = set(sys.modules)

    def make(distribution: str, source: str, *, name: str | None = None, version: str = "1.2") -> None:
        module = distribution.replace("-", "_")
        name = name or distribution.removeprefix("heliostat-")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[heliostat]\n{name} = {module}\n")

    yield make
    for module in set(sys.modules) - modules:
        if module.startswith("heliostat_"):
            del sys.modules[module]


def problem_of(registry: Registry, name: str) -> str:
    (plugin,) = (plugin for plugin in registry.plugins if plugin.name == name)
    assert plugin.problem is not None
    assert "\n" not in plugin.problem
    return plugin.problem


def test_an_installed_plugin_is_found_and_what_it_registers_can_be_made(install: Install) -> None:
    install("heliostat-foo", GOOD)
    registry = plugins.load()
    assert registry.problems == []
    (plugin,) = (plugin for plugin in registry.plugins if plugin.name == "foo")
    assert (plugin.distribution, plugin.version) == ("heliostat-foo", "1.2")
    entry = registry.find("progress_sink", "echo")
    assert (entry.plugin, entry.distribution, entry.summary) == ("foo", "heliostat-foo", "Echoes.")
    assert registry.make("progress_sink", "echo", {"shout": True}).options.shout is True


def test_the_builtins_come_through_the_same_hooks() -> None:
    registry = plugins.load("")
    assert {plugin.name for plugin in registry.plugins} == set(plugins.BUILTINS)
    assert {(entry.kind, entry.name) for entry in registry.all()} >= {
        ("worker_adapter", "local"),
        ("progress_sink", "bar"),
        ("progress_sink", "lines"),
        ("progress_sink", "json"),
        ("progress_sink", "webhook"),
        ("repository", "memory"),
        ("repository", "sqlite"),
        ("repository", "postgresql"),
        ("artifact_store", "file"),
        ("stitcher", "ffmpeg"),
    }
    assert all(entry.summary and entry.distribution == "heliostat" for entry in registry.all())


def test_loading_imports_nothing_heavy() -> None:
    program = """
        import sys
        from heliostat import plugins
        plugins.registry()
        heavy = ("sqlalchemy", "aiohttp", "rich", "asyncio", "typer", "heliostat.manager", "heliostat.executor")
        print([name for name in heavy if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def (", "SyntaxError"),
        (
            """
            from heliostat import hookimpl
            @hookimpl
            def register_worker_adaptors(register): pass
            """,
            "there is no hook 'register_worker_adaptors'",
        ),
        (
            """
            from heliostat import hookimpl
            @hookimpl
            def register_stitchers(register, more): pass
            """,
            "PluginValidationError",
        ),
        (
            """
            from heliostat import hookimpl
            @hookimpl
            def register_stitchers(register): raise KeyError("x")
            """,
            "KeyError: 'x'",
        ),
        (
            """
            from heliostat import hookimpl
            @hookimpl
            def register_stitchers(register): register()
            """,
            "TypeError",
        ),
        (
            """
            from heliostat import hookimpl
            @hookimpl
            def register_worker_adapters(register): register("local", object)
            """,
            "worker adapter 'local' is already registered by heliostat",
        ),
    ],
)
def test_a_broken_plugin_is_a_sentence_and_the_rest_works(install: Install, source: str, reason: str) -> None:
    install("heliostat-broken", source)
    install("heliostat-foo", GOOD)
    registry = plugins.load()
    problem = problem_of(registry, "broken")
    assert problem.startswith("Plugin 'broken' of heliostat-broken 1.2 is not in use (")
    assert reason in problem
    assert "leave it out with HELIOSTAT_PLUGINS" in problem
    assert registry.find("worker_adapter", "local").distribution == "heliostat"
    assert registry.find("progress_sink", "echo").distribution == "heliostat-foo"


def test_of_a_plugin_that_fails_half_way_nothing_is_registered(install: Install) -> None:
    install(
        "heliostat-half",
        """
        from heliostat import hookimpl
        @hookimpl
        def register_worker_adapters(register): register("half", object)
        @hookimpl
        def register_stitchers(register):
            register("half", object)
            raise OSError("disk")
        """,
    )
    registry = plugins.load()
    assert "OSError: disk" in problem_of(registry, "half")
    assert not [entry for entry in registry.all() if entry.name == "half"]


def test_two_plugins_with_one_name_are_told_apart_by_their_distributions(install: Install) -> None:
    install("heliostat-foo", GOOD)
    install("heliostat-zap", GOOD)
    registry = plugins.load()
    broken = [plugin for plugin in registry.plugins if plugin.problem]
    assert len(broken) == 1
    first = ({"heliostat-foo", "heliostat-zap"} - {broken[0].distribution}).pop()
    assert f"progress sink 'echo' is already registered by {first}" in str(broken[0].problem)


def test_the_selection_loads_only_what_it_names(install: Install) -> None:
    install("heliostat-foo", GOOD)
    install("heliostat-broken", "raise RuntimeError")
    registry = plugins.load("foo")
    assert registry.problems == []
    assert {plugin.name for plugin in registry.plugins} == {*plugins.BUILTINS, "foo"}
    assert {plugin.name for plugin in plugins.load(" foo , ").plugins} == {*plugins.BUILTINS, "foo"}


def test_an_empty_selection_loads_none_but_the_builtins(install: Install) -> None:
    install("heliostat-foo", GOOD)
    assert {plugin.name for plugin in plugins.load("").plugins} == set(plugins.BUILTINS)


def test_a_selection_of_what_is_not_installed_is_a_problem(install: Install) -> None:
    install("heliostat-foo", GOOD)
    registry = plugins.load("foo,fooo")
    assert "HELIOSTAT_PLUGINS names 'fooo', which no installed distribution provides" in problem_of(registry, "fooo")
    assert registry.find("progress_sink", "echo")


def test_the_environment_variable_is_the_selection(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("heliostat-foo", GOOD)
    monkeypatch.setenv("HELIOSTAT_PLUGINS", "foo")
    plugins.registry.cache_clear()
    try:
        assert {plugin.name for plugin in plugins.registry().plugins} == {*plugins.BUILTINS, "foo"}
    finally:
        plugins.registry.cache_clear()


def test_an_unknown_name_is_answered_with_those_that_there_are(install: Install) -> None:
    install("heliostat-broken", "raise RuntimeError('boom')")
    registry = plugins.load()
    with pytest.raises(PluginError, match=r"no worker adapter is called 'lokal'; registered: .*local.*boom"):
        registry.find("worker_adapter", "lokal")


class Knobs(msgspec.Struct, frozen=True, rename="camel"):
    size: int
    max_speed: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    names: tuple[str, ...] = ()


def registered(options: type[msgspec.Struct] | None) -> Registration:
    return Registration(
        kind="worker_adapter",
        name="knobs",
        factory=lambda *made: made,
        options=options,
        summary="",
        plugin="p",
        distribution="d",
    )


def test_options_go_by_their_python_and_their_json_names() -> None:
    entry = registered(Knobs)
    assert convert_options(entry, {"size": 3, "max_speed": 2.5}) == Knobs(size=3, max_speed=2.5)
    assert convert_options(entry, {"size": 3, "maxSpeed": 2.5}) == Knobs(size=3, max_speed=2.5)


def test_text_will_do_for_numbers_only_where_that_is_said() -> None:
    entry = registered(Knobs)
    assert convert_options(entry, {"size": "3"}, strict=False) == Knobs(size=3)
    with pytest.raises(SpecError, match="Expected `int`, got `str` - option `size`"):
        convert_options(entry, {"size": "3"})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "worker adapter 'knobs': Object missing required field `size`"),
        ({"size": 1, "speed": 2}, "worker adapter 'knobs' has no option 'speed'; it has: maxSpeed, names, size"),
        ({"size": 1, "max_speed": 0}, "option `maxSpeed`"),
    ],
)
def test_wrong_options_are_named(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        convert_options(registered(Knobs), settings)


def test_a_factory_without_options_is_called_without_arguments() -> None:
    registry = Registry()
    registry.add(registered(None))
    assert registry.make("worker_adapter", "knobs", {}) == ()
    with pytest.raises(SpecError, match="worker adapter 'knobs' has no options, got size"):
        registry.make("worker_adapter", "knobs", {"size": 1})


def test_repositories_and_stores_go_by_the_scheme_of_their_url(tmp_path: Path) -> None:
    assert type(plugins.open_repository("memory:")).__name__ == "MemoryRepository"
    assert plugins.open_artifact_store(f"file://{tmp_path}").url == f"file://{tmp_path}"
    with pytest.raises(SpecError, match=r"'jobs\.db' is not a URL; repository URLs look like sqlite:///path"):
        plugins.open_repository("jobs.db")
    with pytest.raises(PluginError, match="no repository is called 'mysql'; registered: "):
        plugins.open_repository("mysql://x")


def test_workers_sinks_and_stitchers_are_opened_by_name() -> None:
    assert plugins.open_worker("local", grace=1.0).name == "local"
    assert hasattr(plugins.open_sink("lines", interval=1.0), "handle")
    with pytest.raises(SpecError, match="worker adapter 'local' has no option 'size'"):
        plugins.open_worker("local", size=1)
    with pytest.raises(PluginError, match="no stitcher is called 'glue'"):
        plugins.open_stitcher("glue")
