"""The wire format: what is encoded is decoded again, and what is not understood is said clearly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.contracts.worker import ChunkRequest
from heliostat.errors import Misconfigured, WorkerLost
from heliostat.model.cause import Cause
from heliostat.model.result import ChunkResult, Output, Usage
from heliostat.model.spec import Chunk
from heliostat.worker.wire import (
    VERSION,
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

texts = st.text(st.characters(codec="utf-8"), max_size=20)
seconds = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.integers(-(2**63), 2**63 - 1)
chunks = st.builds(
    Chunk,
    id=numbers | texts,
    start_frame=numbers,
    frame_count=numbers,
    output_file=texts,
    command=texts | st.lists(texts).map(tuple),
    step=numbers,
)
requests = st.builds(
    ChunkRequest,
    job_id=texts,
    chunk=chunks,
    attempt=numbers,
    attempt_id=texts,
    command=st.lists(texts),
    env=st.dictionaries(texts, texts),
    timeout=st.none() | seconds,
    job_dir=texts,
    artifacts=st.none() | texts,
    progress=st.none() | texts,
)
results = st.builds(
    ChunkResult,
    exit_code=numbers,
    duration=seconds,
    outputs=st.lists(st.builds(Output, path=texts, size=numbers, sha256=texts, url=st.none() | texts)).map(tuple),
    stdout_tail=texts,
    stderr_tail=texts,
    cause=st.none() | st.sampled_from(Cause),
    message=st.none() | texts,
    worker=st.none() | texts,
    usage=st.none() | st.builds(Usage, billed_seconds=seconds, memory_mb=numbers),
    attempt_id=st.none() | texts,
)
messages = st.one_of(
    st.builds(FramesMessage, frames=seconds),
    st.builds(LogMessage, stream=st.sampled_from(["stdout", "stderr"]), text=texts),
    st.builds(HeartbeatMessage),
    st.builds(ResultMessage, result=results),
)


@given(requests)
def test_a_request_comes_through(request: ChunkRequest) -> None:
    line = encode_request(request)
    assert line.count(b"\n") == 1
    assert decode_request(line) == request


@given(messages)
def test_a_message_comes_through(message: Message) -> None:
    line = encode_message(message)
    assert line.count(b"\n") == 1
    assert decode_message(line) == message


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_lost_worker(line: bytes) -> None:
    with pytest.raises(WorkerLost, match="which is no message") as caught:
        decode_message(line)
    assert "\n" not in str(caught.value)
    with pytest.raises(Misconfigured, match="is no request"):
        decode_request(line)


@given(messages, st.data())
def test_a_message_that_was_cut_is_a_lost_worker(message: Message, data: Any) -> None:
    line = encode_message(message)
    cut = data.draw(st.integers(0, len(line) - 2))
    with pytest.raises(WorkerLost):
        decode_message(line[:cut])


def test_the_form_is_the_documented_one() -> None:
    chunk = Chunk(id=1, start_frame=0, frame_count=2, output_file="o", command=("x",))
    request = ChunkRequest(job_id="j", chunk=chunk, attempt=1, attempt_id="a", command=["x"], job_dir="/d")
    document = json.loads(encode_request(request))
    assert document["version"] == VERSION == 1
    assert document["request"]["jobId"] == "j"
    assert document["request"]["chunk"]["frameCount"] == 2
    assert json.loads(encode_message(FramesMessage(2.5))) == {"type": "frames", "frames": 2.5}
    assert json.loads(encode_message(LogMessage("stderr", "x\n"))) == {"type": "log", "stream": "stderr", "text": "x\n"}
    assert json.loads(encode_message(HeartbeatMessage())) == {"type": "heartbeat"}
    document = json.loads(encode_message(ResultMessage(ChunkResult(exit_code=0, duration=1.5, attempt_id="a"))))
    assert document == {"type": "result", "result": {"exitCode": 0, "duration": 1.5, "attemptId": "a"}}


def test_another_version_is_named() -> None:
    with pytest.raises(Misconfigured, match=r"speaks version 2 .* this worker version 1; install the same version"):
        decode_request(b'{"version": 2, "request": {"something": "new"}}')


def test_a_wrong_field_is_named() -> None:
    line = b'{"version": 1, "request": {"jobId": 7}}'
    with pytest.raises(Misconfigured, match=r"\$\.request\.jobId"):
        decode_request(line)


def test_a_newer_worker_may_say_more() -> None:
    assert decode_message(b'{"type": "frames", "frames": 3, "mood": "sunny"}') == FramesMessage(3)


def test_messages_reach_the_report_and_the_result_the_caller(recorder: Any) -> None:
    result = ChunkResult(exit_code=0, duration=1.0)
    answers = [
        relay(encode_message(message), recorder)
        for message in (FramesMessage(2), LogMessage("stdout", "hi\n"), HeartbeatMessage(), ResultMessage(result))
    ]
    assert answers == [None, None, None, result]
    assert (recorder.frames, recorder.logged["stdout"], recorder.heartbeats) == ([2], "hi\n", 1)
