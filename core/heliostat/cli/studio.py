"""`heliostat studio`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from heliostat.cli.options import Database, Debug

if TYPE_CHECKING:
    from heliostat.studio.settings import StudioSettings

EPILOG = """\b
Examples:
  heliostat studio
  heliostat studio --host 0.0.0.0 --token-file token --allow-host farm.example

\b
It does what `run-pending --watch` does, and takes over jobs whose coordinator has died. Ctrl-C leaves what runs to the
next coordinator. Several may work on one PostgreSQL database.
"""


def command(
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", help="Where to listen. With any but this machine's own, a token is asked for."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8470,
    jobs: Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="Jobs at once.")] = 1,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="A file with the token that callers must have.  [default: none on this machine alone, else a new one]",
        ),
    ] = None,
    allow_submit: Annotated[
        bool,
        typer.Option(
            "--allow-submit", help="Take jobs from other machines too; their commands run with the rights of this user."
        ),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="A further name under which this is reached; may be repeated."
        ),
    ] = None,
    max_upload: Annotated[
        int, typer.Option("--max-upload", min=1, metavar="MB", help="How large a submission may be.")
    ] = 256,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Where uploads, and jobs without a job directory, get a folder.  [default: studio in the user's data"
            " directory]",
        ),
    ] = None,
    db: Database = None,
    debug: Debug = False,
) -> None:
    """Serve a web page and an API, and run pending jobs.

    For this machine alone, unless --host says otherwise.
    """
    import asyncio

    from heliostat.cli.database import database_url
    from heliostat.cli.faults import log_to_stderr, say
    from heliostat.cli.plugin_use import warn_of_plugins
    from heliostat.errors import PluginError, SpecError

    try:
        from heliostat.studio.server import bind, serve
        from heliostat.studio.settings import StudioSettings
    except ModuleNotFoundError as error:
        raise PluginError(
            f"`heliostat studio` needs the package {error.name}; install it with: pip install 'heliostat[studio]'"
        ) from None

    log_to_stderr()
    warn_of_plugins()
    url = database_url(db)
    if url.startswith("memory:"):
        raise SpecError("Studio is two processes, which cannot share memory:; give the path of a database with --db")
    listening = bind(host, port)
    settings = StudioSettings(
        db=url,
        directory=_made(directory),
        host=host,
        port=listening.getsockname()[1],
        jobs_at_once=jobs,
        token=_token(token_file, listening.getsockname()[0]),
        allow_submit=allow_submit,
        allow_hosts=tuple(allow_host or ()),
        max_upload=max_upload << 20,
    )
    with listening:
        asyncio.run(serve(settings, listening, lambda: say(f"studio serves at {_link(settings)}")))


def _token(file: Path | None, address: str) -> str | None:
    """Raises SpecError."""
    import ipaddress
    import secrets

    from heliostat.builtin.http.token import find_token

    if file is not None:
        return find_token(file)
    return None if ipaddress.ip_address(address).is_loopback else secrets.token_urlsafe(24)


def _link(settings: StudioSettings) -> str:
    import ipaddress
    import socket

    name = settings.host
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        if address.is_unspecified:
            name = socket.gethostname()
        elif address.version == 6:
            name = f"[{name}]"
    query = "" if settings.token is None else f"/?token={quote(settings.token, safe='')}"
    return f"http://{name}:{settings.port}{query}"


def _made(directory: Path | None) -> Path:
    """Raises SpecError."""
    import platformdirs

    from heliostat.errors import SpecError

    folder = directory or platformdirs.user_data_path("heliostat", appauthor=False) / "studio"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"the folder {folder} cannot be made ({error.strerror}); name another with --dir") from None
    return folder.absolute()
