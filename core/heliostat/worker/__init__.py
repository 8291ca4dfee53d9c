"""The worker runtime: what runs inside a worker, whichever adapter started it.

The names below are the public ones, for adapters that bring the runtime to a worker of their own: `run_chunk` where the
worker is Python, `python -m heliostat.worker` and the wire format (`encode_request`, `relay`) where it is not,
`WorkerServer` and `WorkerClient` over HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat.lazy import import_on_demand

if TYPE_CHECKING:
    from heliostat.worker.client import WorkerClient
    from heliostat.worker.ffmpeg import find_ffmpeg
    from heliostat.worker.outbox import Outbox
    from heliostat.worker.remote import RemoteWorker, RemoteWorkers
    from heliostat.worker.routes import WorkerInfo
    from heliostat.worker.runtime import failed_result, run_chunk
    from heliostat.worker.server import WorkerServer
    from heliostat.worker.transfers import transfer_all
    from heliostat.worker.warden import Warden
    from heliostat.worker.wire import (
        FramesMessage,
        HeartbeatMessage,
        LogMessage,
        Message,
        ResultMessage,
        decode_message,
        decode_request,
        encode_message,
        encode_request,
        relay,
    )

_WHERE = {
    "FramesMessage": "wire",
    "HeartbeatMessage": "wire",
    "LogMessage": "wire",
    "Message": "wire",
    "Outbox": "outbox",
    "RemoteWorker": "remote",
    "RemoteWorkers": "remote",
    "ResultMessage": "wire",
    "Warden": "warden",
    "WorkerClient": "client",
    "WorkerInfo": "routes",
    "WorkerServer": "server",
    "decode_message": "wire",
    "decode_request": "wire",
    "encode_message": "wire",
    "encode_request": "wire",
    "failed_result": "runtime",
    "find_ffmpeg": "ffmpeg",
    "relay": "wire",
    "run_chunk": "runtime",
    "transfer_all": "transfers",
}

__all__ = [
    "FramesMessage",
    "HeartbeatMessage",
    "LogMessage",
    "Message",
    "Outbox",
    "RemoteWorker",
    "RemoteWorkers",
    "ResultMessage",
    "Warden",
    "WorkerClient",
    "WorkerInfo",
    "WorkerServer",
    "decode_message",
    "decode_request",
    "encode_message",
    "encode_request",
    "failed_result",
    "find_ffmpeg",
    "relay",
    "run_chunk",
    "transfer_all",
]

__getattr__ = import_on_demand(__name__, _WHERE)
