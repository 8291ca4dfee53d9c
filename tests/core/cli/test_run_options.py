"""From the command line to the options of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliostat.cli.options import Limits
from heliostat.cli.run_options import changed, environment, new_options
from heliostat.errors import SpecError
from heliostat.executor.options import JobExecutionOptions
from heliostat.model.status import JobSettings


def test_what_is_not_given_is_as_in_python(tmp_path: Path) -> None:
    assert new_options(Limits(), None, tmp_path).settings() == JobExecutionOptions(job_dir=tmp_path).settings()


def test_help_states_the_defaults_that_hold() -> None:
    from typing import get_type_hints

    hints = get_type_hints(Limits, include_extras=True)
    assert f"[default: {JobSettings().retries}]" in hints["retries"].__metadata__[0].help
    assert f"[default: {JobSettings().retry_delay:g}]" in hints["retry_delay"].__metadata__[0].help
    assert JobSettings().fail_fast
    assert "[default: --fail-fast]" in hints["keep_going"].__metadata__[0].help
    assert JobSettings().merge
    assert "[default: --merge]" in hints["merge"].__metadata__[0].help


def test_what_is_given_replaces_what_was_kept() -> None:
    before = JobSettings(retries=9, concurrency=3, env={"A": "1", "B": "1"}, job_dir="/d", only_chunks=(1,))
    after = changed(before, Limits(concurrency=5, keep_going=True, merge=False, env=["B=2"]), ["3, 4", "x"])
    assert after == JobSettings(
        retries=9,
        concurrency=5,
        env={"A": "1", "B": "2"},
        job_dir="/d",
        only_chunks=("3", "4", "x"),
        fail_fast=False,
        merge=False,
    )
    assert changed(before, Limits(), None) == before


def test_environment_variables_have_a_value_or_the_one_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "x=y")
    assert environment(["A=1=2", "HERE", "EMPTY="]) == {"A": "1=2", "HERE": "x=y", "EMPTY": ""}
    with pytest.raises(SpecError, match="there is no such variable here; write GONE=VALUE"):
        environment(["GONE"])
