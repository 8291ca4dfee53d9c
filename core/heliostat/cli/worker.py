"""`heliostat worker`."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated

import typer

from heliostat.cli.options import Debug


def command() -> None:
    """Lend this machine to coordinators elsewhere."""


def serve(
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; 0.0.0.0 is every address.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8471,
    slots: Annotated[int, typer.Option("--slots", "-n", min=1, metavar="N", help="Chunks at once.")] = 1,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="A file with the token that callers must send.  [default: HELIOSTAT_WORKER_TOKEN, or a new one, which"
            " is printed]",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Serve HTTPS with this certificate, in PEM.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key, when it is not in the same file.")
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory",
            metavar="DIR",
            help="Where chunks run whose files come from an artifact store.  [default: heliostat in the cache directory"
            " of the user]",
        ),
    ] = None,
    cache: Annotated[
        int, typer.Option("--cache", min=0, metavar="MB", help="Inputs that are kept for later chunks.")
    ] = 10_000,
    drain: Annotated[
        float,
        typer.Option(
            "--drain", min=0.0, metavar="SECONDS", help="What running chunks get to end, once this is told to end."
        ),
    ] = 5.0,
    grace: Annotated[
        float, typer.Option("--grace", min=0.0, metavar="SECONDS", help="Between SIGTERM and SIGKILL for a command.")
    ] = 5.0,
    debug: Debug = False,
) -> None:
    """Run chunks for whoever sends them with the token.

    A chunk is a command that the sender chooses: whoever has the token can do on this machine what this user can. Use
    --tls-cert, or a tunnel, where others could read along.
    """
    import asyncio
    import secrets

    from heliostat.builtin.http.token import find_token, is_same
    from heliostat.cli.faults import log_to_stderr, say
    from heliostat.cli.plugin_use import warn_of_plugins
    from heliostat.errors import PluginError, SpecError
    from heliostat.plugins import open_artifact_store

    try:
        from heliostat.worker.server import WorkerServer
    except ModuleNotFoundError as error:
        raise PluginError(
            f"`heliostat worker serve` needs the package {error.name}; install it with: pip install 'heliostat[http]'"
        ) from None

    log_to_stderr()
    warn_of_plugins()
    token = find_token(token_file)
    if token is None:
        token = secrets.token_urlsafe(24)
        say(f"the token of this worker: {token}")

    async def allow(sent: str) -> bool:
        return is_same(sent, token)

    tls = _tls(tls_cert, tls_key)
    scheme = "http" if tls is None else "https"
    server = WorkerServer(
        allow,
        open_artifact_store,
        root=directory or _cache_directory(),
        cache_limit=cache << 20,
        slots=slots,
        grace=grace,
        drain=drain,
    )
    many = "one chunk at a time" if slots == 1 else f"{slots} chunks at once"
    serving = server.serve(
        host, port, tls=tls, on_ready=lambda port: say(f"a worker serves at {scheme}://{host}:{port}, {many}")
    )
    try:
        asyncio.run(serving)
    except OSError as error:
        raise SpecError(
            f"{host}:{port} cannot be served at ({error.strerror}); choose another --port or --host"
        ) from None


def _cache_directory() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("heliostat", appauthor=False) / "worker"


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Raises SpecError."""
    from heliostat.errors import SpecError

    if cert is None:
        if key is not None:
            raise SpecError("--tls-key is of no use without --tls-cert; give both")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:  # ssl.SSLError is one
        raise SpecError(f"the certificate {cert} cannot be used with its key ({error}); give both in PEM") from None
    return context


SUBCOMMANDS = {"serve": serve}
