"""What is said when something goes wrong."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from heliostat import errors
from heliostat.cli import exit_status, faults
from heliostat.model.cause import Cause
from heliostat.model.status import JobState


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errors.SpecError("unknown key 'x'", path="$.a"), "heliostat: error: $.a: unknown key 'x'\n"),
        (errors.SpecError("two\nlines \x1b[31m"), "heliostat: error: two lines\n"),
        (FileNotFoundError(2, "No such file or directory", "x"), "heliostat: error: No such file or directory: x\n"),
        (OSError("odd"), "heliostat: error: OSError: odd (this should not happen; run again with --debug and"),
        (ZeroDivisionError(), "heliostat: error: ZeroDivisionError (this should not happen; run again with --debug"),
    ],
)
def test_an_error_is_one_line(error: Exception, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    faults.tell(error)
    said = capsys.readouterr().err
    assert said.startswith(sentence)
    assert said.count("\n") == 1


def test_with_debug_the_traceback_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    faults.enable_debug(True)
    try:
        raise ValueError("boom")
    except ValueError as error:
        faults.tell(error)
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):\n")
    assert said.endswith("heliostat: error: ValueError: boom\n")


def test_warnings_of_the_logger_are_sentences_and_tracebacks_are_kept_for_debug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    faults.log_to_stderr()
    faults.log_to_stderr()
    logger = logging.getLogger("heliostat")
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("job %s", "j1")
    logger.warning("sink %s; the job goes on", "hung")
    logger.info("not worth saying")
    assert capsys.readouterr().err == "heliostat: error: job j1\nheliostat: warning: sink hung; the job goes on\n"


def test_without_a_stderr_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    faults.say("x")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    faults.say("x")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.SpecError("x"), 2),
        (errors.PluginError("x"), 2),
        (errors.JobNotFound("x"), 2),
        (errors.JobExists("x"), 2),
        (errors.WrongState("x"), 2),
        (errors.LeaseHeld("x", owner="y"), 2),
        (errors.JobFailed("x", cause=Cause.STALLED), 1),
        (errors.JobCancelled("x"), 3),
        (errors.SchemaTooNew("x"), 1),
        (errors.RepositoryUnavailable("x"), 1),
        (OSError("x"), 1),
        (RuntimeError("x"), 1),
    ],
)
def test_exit_status_of_an_error(error: Exception, status: int) -> None:
    assert exit_status.of_error(error) == status


def test_exit_status_of_a_job() -> None:
    assert {state.value: exit_status.of_job(state) for state in JobState} == {
        "completed": 0,
        "failed": 1,
        "cancelled": 3,
        "paused": 4,
        "pending": 1,
        "running": 1,
    }
