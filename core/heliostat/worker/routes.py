"""What a worker behind HTTP is asked for, and where.

`POST /v1/chunks` with a request line of the wire format. The answer is 200 and a stream of messages: reports while the
chunk runs, the result last.

`GET /v1/worker`. The answer is a `WorkerInfo`.

Each carries `Authorization: Bearer …`. Without a token that is allowed the answer is 401, whatever was asked for; 400
says that a request is none, 409 that the attempt runs here already, 429 that all slots are taken, 503 that the server
is about to end. Such answers have a body `{"message": "…"}`.

Who hangs up cancels the chunk. One that comes while the command of such a chunk is yet to end waits for its slot.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

CHUNKS: Final = "/v1/chunks"
WORKER: Final = "/v1/worker"
STREAM: Final = "application/x-ndjson"
"""The media type of messages, a line each."""


class WorkerInfo(Struct, frozen=True, rename="camel"):
    """What a worker says of itself."""

    version: str
    """Of Heliostat."""
    slots: int
    """Chunks at once."""
    running: int
    refused: int = 0
    """Chunks that were sent while all slots were taken."""


class Refusal(Struct, frozen=True):
    """The body of an answer in place of what was asked for."""

    message: str
    """One sentence."""
