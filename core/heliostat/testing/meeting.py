"""Where commands of a contract suite meet the test that runs them: it sees them run, tells them what to do, and knows
when the last of their processes is gone. So no test has to guess how long anything takes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from types import TracebackType
from typing import Self


class RunningCommand:
    """A command of the suite that has reached its step `meet`."""

    def __init__(self, hello: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = json.loads(hello)
        self.chunk: str = said["chunk"]
        """The chunk's id, as text."""
        self.attempt: int = said["attempt"]
        self.pid: int = said["pid"]
        self.ancestors: list[int] = said["ancestors"]
        """Process ids of its parents, nearest first, as they are numbered where it runs."""
        self._reader = reader
        self._writer = writer

    def do(self, *steps: str) -> None:
        """Tell it what to do next; `go` lets it go on with its own steps."""
        with contextlib.suppress(ConnectionError):
            self._writer.write("".join(f"{step}\n" for step in steps).encode())

    async def gone(self) -> None:
        """Wait until it has ended, and all its children too: they hold the connection with it."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(1 << 16):
                pass

    def close(self) -> None:
        """It ends when it waits for the test."""
        self._writer.close()


class Meeting:
    """Listens on a port of its own. An async context manager; commands that still wait at its end are let go."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._come: asyncio.Queue[RunningCommand] = asyncio.Queue()
        self._all: list[RunningCommand] = []
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._welcome, self._host, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.step = f"meet={self._host}:{port}"
        """The step that brings a command here."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for command in self._all:
            command.close()

    @property
    def arrived(self) -> int:
        """How many commands have come so far."""
        return len(self._all)

    async def next(self) -> RunningCommand:
        """The next command that arrives."""
        return await self._come.get()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await reader.readline()
        if hello:
            command = RunningCommand(hello, reader, writer)
            self._all.append(command)
            self._come.put_nowait(command)
