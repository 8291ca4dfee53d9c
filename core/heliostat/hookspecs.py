"""Every hook that a plugin may implement. Entry-point group and pluggy project name: `heliostat`.

Each hook is handed `register(name, factory, options=OptionsStruct, summary="…")`. The factory is called with an
instance of the options type (a `msgspec.Struct`), or without arguments where `options` is not given. Hooks run when
Heliostat starts, so they only register: import what is heavy inside the factory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    import msgspec

PROJECT = "heliostat"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    def __call__(
        self,
        name: str,
        factory: Callable[..., Any],
        *,
        options: type[msgspec.Struct] | None = None,
        summary: str = "",
    ) -> None: ...


@hookspec
def register_worker_adapters(register: Register) -> None:
    """Factories of `WorkerAdapter`, chosen with `--worker NAME`."""


@hookspec
def register_progress_sinks(register: Register) -> None:
    """Factories of `ProgressSink`, chosen with `--sink NAME`."""


@hookspec
def register_repositories(register: Register) -> None:
    """Factories of `JobRepository`; the name is the scheme of the URL, and the options type has a field `url`."""


@hookspec
def register_artifact_stores(register: Register) -> None:
    """Factories of `ArtifactStore`; the name is the scheme of the URL, and the options type has a field `url`."""


@hookspec
def register_stitchers(register: Register) -> None:
    """Factories of `Stitcher`, chosen in a specification's `merge`."""


@hookspec
def register_commands(register: Register) -> None:
    """Commands of `heliostat`: a factory returns a `typer.Typer`, which becomes the command group NAME."""
