"""What comes on a queue that repeats itself and keeps no order."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat import ChunkResult
from heliostat.errors import WorkerLost
from heliostat.worker import FramesMessage, LogMessage, ResultMessage, encode_message
from heliostat_aws import conversation as module
from heliostat_aws.conversation import Batch, Conversation, read_answer
from heliostat_aws.invocation import Stored


class Report:
    def __init__(self) -> None:
        self.said: list[object] = []

    def frames_done(self, frames: float, /) -> None:
        self.said.append(frames)

    def log(self, stream: str, text: str, /) -> None:
        self.said.append(text)

    def heartbeat(self) -> None:
        self.said.append("heartbeat")


RESULT = ChunkResult(exit_code=0, duration=1.0)


def batch(number: int, *messages: object) -> Batch:
    lines = b"".join(encode_message(message) for message in messages)  # type: ignore[arg-type]
    return Batch("a", number, lines.decode())


@given(st.lists(st.integers(0, 5), max_size=10), st.permutations(range(6)))
def test_batches_are_said_once_and_in_order(repeated: list[int], order: list[int]):
    async def check() -> None:
        report = Report()
        conversation = Conversation(report)
        batches = [batch(number, LogMessage("stdout", f"{number}\n")) for number in range(6)]
        for number in [*order, *repeated]:
            conversation.hear(batches[number])
        await conversation.until(6)
        assert report.said == [f"{number}\n" for number in range(6)]
        assert conversation.answer is None

    asyncio.run(check())


async def test_the_answer_ends_the_wait():
    report = Report()
    conversation = Conversation(report)
    waiting = asyncio.create_task(conversation.until(None))
    threading.Thread(target=conversation.hear, args=(batch(0, FramesMessage(2.0), ResultMessage(RESULT)),)).start()
    await waiting
    assert conversation.answer == RESULT
    assert report.said == [2.0]


async def test_a_batch_that_never_comes_is_done_without(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    report = Report()
    conversation = Conversation(report)
    conversation.hear(batch(0, LogMessage("stdout", "zero\n")))
    conversation.hear(batch(2, LogMessage("stdout", "two\n"), ResultMessage(RESULT)))
    assert report.said == ["zero\n"]
    await conversation.until(None)
    assert report.said == ["zero\n", "two\n"]
    assert conversation.answer == RESULT


async def test_a_known_number_of_batches_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    conversation = Conversation(Report())
    await conversation.until(3)
    assert conversation.heard_clock is None


def test_an_answer_may_be_a_pointer_to_the_result():
    assert read_answer(b'{"type":"stored","key":"control/job/results/1.json"}', Report()) == Stored(
        "control/job/results/1.json"
    )
    with pytest.raises(WorkerLost, match="no message"):
        read_answer(b"<html>", Report())
