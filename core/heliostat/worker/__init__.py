"""The worker runtime: what runs inside a worker, whichever adapter started it.

The names below are the public ones, for adapters that bring the runtime to a worker of their own: `run_chunk` where the
worker is Python, `python -m heliostat.worker` and the wire format (`encode_request`, `relay`) where it is not,
`WorkerServer` and `WorkerClient` over HTTP. And for artifact stores: `BucketStore` with `Objects`, `transfer_all`, and
`Threads` for SDKs that block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat.lazy import import_on_demand

if TYPE_CHECKING:
    from heliostat.worker.bucket import Bucket, ObjectService
    from heliostat.worker.bucket_store import BucketStore
    from heliostat.worker.client import WorkerClient
    from heliostat.worker.ffmpeg import find_ffmpeg
    from heliostat.worker.objects import (
        DAMAGED,
        DIGEST_METADATA,
        MEANWHILE,
        ObjectPage,
        Objects,
        StoredObject,
        Taken,
        Upload,
        file_changed,
    )
    from heliostat.worker.outbox import Outbox
    from heliostat.worker.remote import RemoteWorker, RemoteWorkers
    from heliostat.worker.routes import WorkerInfo
    from heliostat.worker.runtime import failed_result, run_chunk
    from heliostat.worker.server import WorkerServer
    from heliostat.worker.threads import Abandoned, Threads
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
    "Abandoned": "threads",
    "Bucket": "bucket",
    "BucketStore": "bucket_store",
    "DAMAGED": "objects",
    "DIGEST_METADATA": "objects",
    "FramesMessage": "wire",
    "HeartbeatMessage": "wire",
    "LogMessage": "wire",
    "MEANWHILE": "objects",
    "Message": "wire",
    "ObjectPage": "objects",
    "ObjectService": "bucket",
    "Objects": "objects",
    "Outbox": "outbox",
    "RemoteWorker": "remote",
    "RemoteWorkers": "remote",
    "ResultMessage": "wire",
    "StoredObject": "objects",
    "Taken": "objects",
    "Threads": "threads",
    "Upload": "objects",
    "Warden": "warden",
    "WorkerClient": "client",
    "WorkerInfo": "routes",
    "WorkerServer": "server",
    "decode_message": "wire",
    "decode_request": "wire",
    "encode_message": "wire",
    "encode_request": "wire",
    "failed_result": "runtime",
    "file_changed": "objects",
    "find_ffmpeg": "ffmpeg",
    "relay": "wire",
    "run_chunk": "runtime",
    "transfer_all": "transfers",
}

__all__ = [
    "DAMAGED",
    "DIGEST_METADATA",
    "MEANWHILE",
    "Abandoned",
    "Bucket",
    "BucketStore",
    "FramesMessage",
    "HeartbeatMessage",
    "LogMessage",
    "Message",
    "ObjectPage",
    "ObjectService",
    "Objects",
    "Outbox",
    "RemoteWorker",
    "RemoteWorkers",
    "ResultMessage",
    "StoredObject",
    "Taken",
    "Threads",
    "Upload",
    "Warden",
    "WorkerClient",
    "WorkerInfo",
    "WorkerServer",
    "decode_message",
    "decode_request",
    "encode_message",
    "encode_request",
    "failed_result",
    "file_changed",
    "find_ffmpeg",
    "relay",
    "run_chunk",
    "transfer_all",
]

__getattr__ = import_on_demand(__name__, _WHERE)
