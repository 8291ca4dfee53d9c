"""The worker adapter `http`: chunks on machines that run `heliostat worker serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from heliostat.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from heliostat.contracts.worker import WorkerAdapter


class HttpOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the worker adapter `http`. The token is no option, since options are kept with the job."""

    url: Annotated[str, Meta(min_length=1)]
    """The address of a worker, such as http://render1:8471; or several, with commas between them."""
    token_file: str | None = None
    """A file with the token that the workers were started with; the environment variable HELIOSTAT_WORKER_TOKEN when
    None."""
    artifacts: str | None = None
    """The URL of an artifact store that the workers reach too; None where they share the job directory."""
    ca_file: str | None = None
    """Certificates, in PEM, of the authority that signed those of the workers; the system's when None."""


def make_http_adapter(options: HttpOptions) -> WorkerAdapter:
    """Raises PluginError without aiohttp."""
    from heliostat.errors import PluginError

    try:
        from heliostat.builtin.http.adapter import HttpAdapter
    except ModuleNotFoundError as error:
        raise PluginError(
            f"worker adapter 'http' needs the package {error.name}; install it with: pip install 'heliostat[http]'"
        ) from None
    return HttpAdapter(options)


@hookimpl
def register_worker_adapters(register: Register) -> None:
    register("http", make_http_adapter, options=HttpOptions, summary="Machines that run `heliostat worker serve`.")
