"""What a command sees of the worker's environment."""

from __future__ import annotations

import ast
import os
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from heliostat.worker.environment import LINEAGE, command_environment
from heliostat.worker.runtime import run_chunk


async def seen(request_for: Any, recorder: Any, python: Any, **fields: Any) -> dict[str, str]:
    request = request_for(python("import os; print(os.environ.copy())"), output_file="", **fields)
    assert (await run_chunk(request, recorder)).exit_code == 0
    return ast.literal_eval(recorder.logged["stdout"])  # type: ignore[no-any-return]


async def test_secrets_of_the_caller_are_not_seen(
    request_for: Any, recorder: Any, python: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "AWS_SECRET_ACCESS_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "DATABASE_URL",
        "HTTPS_PROXY",
        "PYTHONPATH",
    ):
        monkeypatch.setenv(name, "hunter2")
    env = await seen(request_for, recorder, python)
    assert "hunter2" not in env.values()
    assert not any(name.startswith(("AWS_", "PYTEST_")) for name in env)


async def test_what_programs_need_to_work_at_all_is_seen(
    request_for: Any, recorder: Any, python: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {"HOME": "/home/someone", "LANG": "C.UTF-8", "LC_TIME": "C", "TMPDIR": "/var/tmp", "TZ": "Europe/Oslo"}
    for name, value in expected.items():
        monkeypatch.setenv(name, value)
    env = await seen(request_for, recorder, python)
    assert expected.items() <= env.items()
    assert env["PATH"].startswith(os.environ["PATH"])


async def test_the_specification_has_the_last_word_on_variables_but_not_on_the_attempt(
    request_for: Any, recorder: Any, python: Any
) -> None:
    env = await seen(
        request_for, recorder, python, env={"LANG": "de_DE", "QUALITY": "high", "HELIOSTAT_JOB_ID": "another"}
    )
    assert (env["LANG"], env["QUALITY"], env["HELIOSTAT_JOB_ID"]) == ("de_DE", "high", "job")


async def test_a_command_knows_its_attempt(request_for: Any, recorder: Any, python: Any, tmp_path: Path) -> None:
    source = "import os; open('out.bin', 'w').write(str(os.environ.copy()))"
    request = request_for(python(source), attempt=3, attempt_id="abc")
    assert (await run_chunk(request, recorder)).exit_code == 0
    env = ast.literal_eval((tmp_path / "out.bin").read_text())
    assert env["HELIOSTAT_JOB_ID"] == "job"
    assert env["HELIOSTAT_CHUNK"] == "7"
    assert env["HELIOSTAT_ATTEMPT"] == "3"
    assert env["HELIOSTAT_ATTEMPT_ID"] == "abc"
    assert env["HELIOSTAT_OUTPUT"] == str(tmp_path / ".heliostat-out.bin" / "abc.bin")


async def test_the_python_that_runs_heliostat_is_found_last(request_for: Any, recorder: Any) -> None:
    request = request_for(["sh", "-c", "command -v python > out.bin"], env={"PATH": "/usr/bin:/bin"})
    env = command_environment(request, output="x", tokens=["t"])
    assert env["PATH"] == f"/usr/bin:/bin:{sysconfig.get_path('scripts')}"
    assert (await run_chunk(request, recorder)).exit_code == 0


def test_a_heliostat_inside_a_command_keeps_the_tokens_of_the_outer_ones(
    request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LINEAGE, raising=False)
    assert command_environment(request_for(["x"]), output=None, tokens=["a", "b"])[LINEAGE] == "a,b"
    monkeypatch.setenv(LINEAGE, "a,b")
    env = command_environment(request_for(["x"]), output=None, tokens=["c"])
    assert env[LINEAGE] == "a,b,c"
    assert "HELIOSTAT_OUTPUT" not in env
