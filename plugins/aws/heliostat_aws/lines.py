"""Calls of boto3 that another thread can end. Left alone, boto3 waits for an answer as long as its timeout says."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from types import TracebackType
from typing import Any, Self

_current = threading.local()


class Cut(BaseException):
    """The line was cut before the call. Not an Exception, because botocore would take that for a fault of the network
    and call again."""


class Line:
    """A context manager: while a thread is within, its call can be cut off, which raises Cut or an error of botocore.

    Only calls of clients that `make_interruptible` was given. May be entered again and again, by one thread at a time;
    once cut, it lets no call through.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_cut = False

    def __enter__(self) -> Self:
        _current.line = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.line = None
        with self._lock:
            self._socket = None  # it may now serve another call

    def cut(self) -> None:
        """From any thread. The answer is no longer waited for; what the service does goes on."""
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # closed already
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def hold(self, connected: socket.socket | None) -> None:
        """The call is about to be made, or to wait for its answer on this. Raises Cut."""
        with self._lock:
            if self._is_cut:
                raise Cut
            self._socket = connected


def make_interruptible(client: Any) -> None:
    """Let the calls of a client, which has made none yet, be cut off."""
    # There is no public way to a client's connections.
    client._endpoint.http_session._manager.pool_classes_by_scheme.update(_pools())


@functools.cache
def _pools() -> dict[str, type]:
    """Connection pools of botocore whose connections tell the thread's line what they wait on."""
    from botocore import awsrequest

    def watched(connection: Any) -> type:
        class Watched(connection):  # type: ignore[misc]
            def request(self, *arguments: Any, **named: Any) -> Any:
                _hold(None)
                return super().request(*arguments, **named)

            def getresponse(self) -> Any:
                _hold(self.sock)
                return super().getresponse()

        return Watched

    def pool(kind: Any) -> type:
        return type(kind.__name__, (kind,), {"ConnectionCls": watched(kind.ConnectionCls)})

    return {"http": pool(awsrequest.AWSHTTPConnectionPool), "https": pool(awsrequest.AWSHTTPSConnectionPool)}


def _hold(connected: socket.socket | None) -> None:
    line: Line | None = getattr(_current, "line", None)
    if line is not None:
        line.hold(connected)
