"""Failed attempts, grouped."""

from __future__ import annotations

from heliostat import AttemptFailed, AttemptState, AttemptStatus, Cause, ChunkResult
from heliostat.studio.page.failures import EXAMPLES, GROUPS, LINES, OTHERS, Failures


def failed(index: int, message: str = "exit status 3", *, attempt: int = 1, said: str = "") -> AttemptFailed:
    return AttemptFailed(
        job_id="job",
        time=float(index),
        chunk=index,
        index=index,
        attempt=attempt,
        cause=Cause.COMMAND_FAILED,
        message=message,
        stderr_tail=said,
    )


def test_failures_that_say_the_same_are_one_group_and_the_largest_comes_first() -> None:
    failures = Failures()
    failures.failed(failed(0, "no room"))
    for index in range(1, 9):
        failures.failed(failed(index))
    assert [(group.message, group.count) for group in failures.groups()] == [("exit status 3", 8), ("no room", 1)]
    assert [failure.index for failure in failures.groups()[0].examples] == [8, 7, 6, 5, 4][:EXAMPLES]
    assert failures.count == 9


def test_a_failure_that_the_rows_had_is_not_counted_again() -> None:
    rows = [
        AttemptStatus(
            index=2,
            number=1,
            attempt_id="a",
            state=AttemptState.FAILED,
            started_at=1.0,
            ended_at=2.0,
            cause=Cause.COMMAND_FAILED,
            message="exit status 3",
            result=ChunkResult(exit_code=3, duration=1.0, stderr_tail="", stdout_tail="what it wrote\n"),
        )
    ]
    failures = Failures()
    failures.load(rows)
    version = failures.version
    failures.failed(failed(2))
    assert (failures.count, failures.version) == (1, version)
    failures.failed(failed(2, attempt=2))
    assert failures.count == 2
    assert failures.groups()[0].examples[1].said == "what it wrote"


def test_texts_are_plain_and_short() -> None:
    failures = Failures()
    failures.failed(failed(0, "\x1b[31mred\x1b[0m", said="".join(f"line {n}\x07\n" for n in range(100))))
    (group,) = failures.groups()
    assert group.message == "red"
    lines = group.examples[0].said.split("\n")
    assert len(lines) == LINES
    assert lines[-1] == "line 99"


def test_messages_without_end_take_no_memory_without_end() -> None:
    failures = Failures()
    for index in range(3 * GROUPS):
        failures.failed(failed(index, f"message {index}"))
    groups = failures.groups()
    assert len(groups) == GROUPS + 1
    assert groups[0].message == OTHERS
    assert groups[0].count == 2 * GROUPS
