"""Reports that wait for a transport."""

from __future__ import annotations

import threading
from typing import Any

from heliostat.worker import Message, Outbox, encode_message, relay


def test_what_was_said_is_taken_once_and_of_frames_only_the_newest_number(recorder: Any) -> None:
    called: list[None] = []
    outbox = Outbox(lambda: called.append(None))
    outbox.frames_done(1)
    outbox.log("stdout", "one\n")
    outbox.heartbeat()
    outbox.log("other", "two\n")
    outbox.frames_done(2.5)
    assert len(called) == 5
    for message in outbox.take():
        assert relay(encode_message(message), recorder) is None
    assert recorder.logged == {"stdout": "one\n", "stderr": "two\n"}
    assert (recorder.frames, recorder.heartbeats) == ([2.5], 1)
    assert outbox.take() == []


def test_heartbeats_are_left_out_where_nobody_wants_them() -> None:
    outbox = Outbox(lambda: None, heartbeats=False)
    outbox.heartbeat()
    assert outbox.take() == []


def test_many_threads_may_talk_at_once(recorder: Any) -> None:
    outbox = Outbox(lambda: None)
    taken: list[Message] = []
    talking = [
        threading.Thread(target=lambda: [outbox.log("stdout", "x\n") for _ in range(500)], daemon=True)
        for _ in range(4)
    ]
    for thread in talking:
        thread.start()
    while any(thread.is_alive() for thread in talking):
        taken += outbox.take()
    for message in [*taken, *outbox.take()]:
        relay(encode_message(message), recorder)
    assert recorder.logged["stdout"] == "x\n" * 2000
