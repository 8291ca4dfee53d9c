"""The sink `json`."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from heliostat.builtin.json_lines import JsonOptions, JsonSink
from heliostat.errors import SpecError
from heliostat.model.cause import Cause
from heliostat.model.events import AttemptFailed, JobEnded, JobStarted
from heliostat.model.status import JobState
from heliostat.testing.progress import Make, ProgressSinkContract


class TestJsonSink(ProgressSinkContract):
    @pytest.fixture
    def under_test(self, tmp_path: Path) -> Make:
        return lambda: JsonSink(JsonOptions(path=str(tmp_path / "events.jsonl")))


def started(job_id: str = "j1", name: str = "sunrise") -> JobStarted:
    return JobStarted(
        job_id=job_id,
        time=1.5,
        name=name,
        completed_chunks=0,
        total_chunks=2,
        completed_frames=0,
        total_frames=48,
        concurrency=2,
        worker="local",
    )


def ended(job_id: str = "j1") -> JobEnded:
    return JobEnded(job_id=job_id, time=2.5, state=JobState.COMPLETED, completed_chunks=2, total_chunks=2, duration=1)


def failed(text: str) -> AttemptFailed:
    return AttemptFailed(
        job_id="j1",
        time=2,
        chunk=1,
        index=1,
        attempt=1,
        cause=Cause.COMMAND_FAILED,
        message=text,
        stderr_tail=text,
    )


def test_each_event_is_one_line_of_json_with_its_type_and_camel_case_names(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonSink(JsonOptions(path=str(path)))
    for event in (started(), failed("two\nlines \u2028 é \x1b"), ended()):
        sink.handle(event)
    first, second, third = (json.loads(line) for line in path.read_bytes().splitlines())
    assert first["type"] == "job_started"
    assert first["jobId"] == "j1"
    assert first["totalFrames"] == 48
    assert second["message"] == "two\nlines \u2028 é \x1b"
    assert third == {
        "type": "job_ended",
        "jobId": "j1",
        "time": 2.5,
        "state": "completed",
        "completedChunks": 2,
        "totalChunks": 2,
        "duration": 1,
    }


def test_a_file_is_appended_to_and_closed_when_no_job_is_left(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"type":"earlier"}\n')
    before = len(os.listdir("/proc/self/fd"))
    sink = JsonSink(JsonOptions(path=str(path)))
    for event in (started("a"), started("b"), ended("a"), ended("b"), started("c"), ended("c")):
        sink.handle(event)
    assert len(os.listdir("/proc/self/fd")) == before
    assert [json.loads(line).get("jobId") for line in path.read_text().splitlines()] == [None, *"ababcc"]


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        JsonSink(JsonOptions(path=str(tmp_path / "missing" / "events.jsonl")))


def test_events_of_two_jobs_told_at_once_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonSink(JsonOptions(path=str(path)))
    sink.handle(started("a"))

    def tell() -> None:
        for _ in range(50):
            sink.handle(failed("x" * 100_000))

    threads = [threading.Thread(target=tell) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.handle(ended("a"))
    sink.handle(ended("j1"))
    lines = path.read_bytes().splitlines()
    assert len(lines) == 153
    assert {json.loads(line)["type"] for line in lines} == {"job_started", "attempt_failed", "job_ended"}


_PROGRAM = """
import os, sys
from heliostat.builtin.json_lines import JsonSink
from heliostat.model.events import JobEnded
if "--non-blocking" in sys.argv:
    os.set_blocking(1, False)
print("before")
sink = JsonSink()
for number in range(int(sys.argv[1])):
    sink.handle(JobEnded(job_id=str(number), time=0, state="completed", completed_chunks=0, total_chunks=0, duration=0))
print("after", file=sys.stderr)
"""


def test_a_reader_that_goes_away_harms_nothing() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "20000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stdout is not None
    assert program.stderr is not None
    assert program.stdout.readline() == b"before\n"
    assert json.loads(program.stdout.readline())["type"] == "job_ended"
    program.stdout.close()
    assert program.stderr.read() == b"after\n"
    program.stderr.close()
    assert program.wait(60) == 0


def test_a_stdout_that_does_not_block_gets_everything() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, "5000", "--non-blocking"], capture_output=True, timeout=60, check=True
    )
    assert [json.loads(line)["jobId"] for line in done.stdout.splitlines()[1:]] == [str(n) for n in range(5000)]


def test_without_a_stdout_that_is_a_file_it_asks_for_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(SpecError, match="give it a file with its option path"):
        JsonSink()
