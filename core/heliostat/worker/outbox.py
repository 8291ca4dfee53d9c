"""What a chunk reports, as messages of the wire format that wait to be sent."""

from __future__ import annotations

import threading
from collections.abc import Callable

from heliostat.worker.wire import FramesMessage, HeartbeatMessage, LogMessage, Message


class Outbox:
    """A ChunkReport whose messages a transport takes when it can send.

    A slow transport holds up nothing. What waits is bounded, since the runtime bounds what it forwards of a command's
    output, and of frames only the newest number is worth sending.
    """

    def __init__(self, on_message: Callable[[], object], *, heartbeats: bool = True) -> None:
        """`on_message` is called, on any thread and at once, when there is something to take. `heartbeats`: whether
        the other side wants to know that the worker lives."""
        self._on_message = on_message
        self._heartbeats = heartbeats
        self._lock = threading.Lock()
        self._messages: list[Message] = []
        self._frames: float | None = None

    def frames_done(self, frames: float, /) -> None:
        with self._lock:
            self._frames = frames
        self._on_message()

    def log(self, stream: str, text: str, /) -> None:
        self._put(LogMessage("stdout" if stream == "stdout" else "stderr", text))

    def heartbeat(self) -> None:
        if self._heartbeats:
            self._put(HeartbeatMessage())

    def take(self) -> list[Message]:
        """What waits, and let go of it."""
        with self._lock:
            messages, self._messages = self._messages, []
            frames, self._frames = self._frames, None
        if frames is not None:
            messages.append(FramesMessage(frames))
        return messages

    def _put(self, message: Message) -> None:
        with self._lock:
            self._messages.append(message)
        self._on_message()
