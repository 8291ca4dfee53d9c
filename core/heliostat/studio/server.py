"""The web process: the API and the pages behind the security checks, and the coordinator process beside them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import uvicorn
from fastapi import FastAPI

from heliostat import JobManager, open_repository
from heliostat.errors import SpecError
from heliostat.studio.clients import Connection
from heliostat.studio.coordinator import Coordinator
from heliostat.studio.coordinator_process import CoordinatorTask
from heliostat.studio.feed import Feeds
from heliostat.studio.security import secure
from heliostat.studio.studio import Studio

if TYPE_CHECKING:
    from heliostat.studio.settings import StudioSettings

LONGEST_MESSAGE: Final = 1 << 20
"""Bytes of a WebSocket's message from a browser."""
GRACE: Final = 3
"""Seconds that open requests get to end, when the server is to end."""


def bind(host: str, port: int) -> socket.socket:
    """A socket that takes connections. Raises SpecError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(1024)
        except OSError:
            listening.close()
            raise
    except OSError as error:  # socket.gaierror is one
        raise SpecError(
            f"{host}:{port} cannot be served at ({error.strerror}); choose another --port or --host"
        ) from None
    return listening


async def serve(settings: StudioSettings, listening: socket.socket, on_ready: Callable[[], object]) -> None:
    """Serve until SIGINT or SIGTERM, then end both processes in order; a second signal ends them at once.

    Raises HeliostatError when the repository cannot be used.
    """
    repository = open_repository(settings.db)
    async with JobManager(repository) as manager:
        await manager.list(limit=1)
        coordinator = Coordinator(CoordinatorTask(db=settings.db, at_once=settings.jobs_at_once))
        studio = Studio(
            settings=settings,
            repository=repository,
            manager=manager,
            coordinator=coordinator,
            feeds=Feeds(manager),
        )
        app = secure(make_app(studio), settings, listening.getsockname()[1])
        server = _Server(app, on_ready)
        with _signals(studio, server):
            coordinating = asyncio.create_task(coordinator.run())
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            await asyncio.wait([coordinating, serving], return_when=asyncio.FIRST_COMPLETED)
            # The coordinator first, so that pages show the end of what it ran; or the server has failed.
            if not studio.ending.is_set():
                studio.ending.set()
                coordinator.stop()
            await coordinating
            await studio.feeds.close()
            server.should_exit = True
            await serving


def make_app(studio: Studio) -> FastAPI:
    """Without the security checks."""
    # NiceGUI reads this when it is imported. It is to find nothing: a Studio keeps nothing of its own.
    os.environ["NICEGUI_STORAGE_PATH"] = str(studio.settings.directory / "nicegui")
    from heliostat.studio.api import make_api, refusals
    from heliostat.studio.page import install

    app = FastAPI(openapi_url=None)
    refusals.install(app)  # for addresses that are nobody's, such as one with a line feed in it
    app.mount("/api/v1", make_api(studio))
    install(app, studio)
    return app


class _Server(uvicorn.Server):
    """Signals are not its own business."""

    def __init__(self, app: object, on_ready: Callable[[], object]) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                http=Connection,
                lifespan="on",
                access_log=False,  # addresses may have a token in them
                log_level="warning",
                proxy_headers=False,  # who the peer is decides what it may do
                server_header=False,
                timeout_graceful_shutdown=GRACE,
                ws_max_size=LONGEST_MESSAGE,
            )
        )
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


@contextlib.contextmanager
def _signals(studio: Studio, server: uvicorn.Server) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def came() -> None:
        if studio.ending.is_set():
            server.force_exit = True
        studio.ending.set()
        studio.coordinator.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, came)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
