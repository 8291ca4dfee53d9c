"""The wire format between a coordinator and a worker in another process: JSON, version 1.

To the worker goes one line, `{"version": 1, "request": {…}}` with a `ChunkRequest`. Back come lines, each one message
with a `type`: any number of `frames`, `log` and `heartbeat` (the calls of `ChunkReport`), then exactly one `result`.
Field names are camelCase. Unknown fields of a message are ignored, so that adding one keeps the version.
"""

from __future__ import annotations

from typing import Literal, cast

import msgspec
from msgspec import Struct

from heliostat.contracts.worker import ChunkReport, ChunkRequest
from heliostat.errors import Misconfigured, WorkerLost
from heliostat.model.codec import from_json, to_json
from heliostat.model.result import ChunkResult

VERSION = 1


class RequestEnvelope(Struct, frozen=True):
    """What the worker is sent."""

    request: ChunkRequest
    version: int = VERSION


class FramesMessage(Struct, frozen=True, tag="frames"):
    """`ChunkReport.frames_done`."""

    frames: float


class LogMessage(Struct, frozen=True, tag="log"):
    """`ChunkReport.log`."""

    stream: Literal["stdout", "stderr"]
    text: str


class HeartbeatMessage(Struct, frozen=True, tag="heartbeat"):
    """`ChunkReport.heartbeat`."""


class ResultMessage(Struct, frozen=True, tag="result"):
    """The last message."""

    result: ChunkResult


Message = FramesMessage | LogMessage | HeartbeatMessage | ResultMessage


class _Version(Struct):
    version: int


def encode_request(request: ChunkRequest) -> bytes:
    """One line, with its end."""
    return to_json(RequestEnvelope(request=request)) + b"\n"


def decode_request(line: bytes) -> ChunkRequest:
    """Raises Misconfigured for another version, and for what is no request."""
    try:
        version = from_json(line, _Version).version
        if version != VERSION:
            raise Misconfigured(
                f"the coordinator speaks version {version} of the wire format and this worker version {VERSION};"
                " install the same version of Heliostat on both"
            )
        return from_json(line, RequestEnvelope).request
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"what the worker was sent is no request ({error}); send one as `encode_request` does"
        ) from None


def encode_message(message: Message) -> bytes:
    """One line, with its end."""
    return to_json(message) + b"\n"


def decode_message(line: bytes) -> Message:
    """Raises WorkerLost for what is no message: a connection that broke, or something else that wrote to it."""
    try:
        return from_json(line, cast("type[Message]", Message))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = line[:80].decode("utf-8", "replace").strip()
        raise WorkerLost(
            f"the worker sent {shown!r}, which is no message ({error}); let nothing else write to its output"
        ) from None


def relay(line: bytes, report: ChunkReport) -> ChunkResult | None:
    """Pass one message on to `report`; returns the result when it is that. Raises as `decode_message`."""
    match decode_message(line):
        case FramesMessage(frames=frames):
            report.frames_done(frames)
        case LogMessage(stream=stream, text=text):
            report.log(stream, text)
        case HeartbeatMessage():
            report.heartbeat()
        case ResultMessage(result=result):
            return result
    return None
