"""Which database `--db` means."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliostat.cli.database import database_url
from heliostat.errors import SpecError


def test_a_url_is_taken_as_it_is() -> None:
    for url in ("memory:", "sqlite:///x.db", "postgresql://host/db", "mysql+x://y"):
        assert database_url(url) == url


def test_a_path_is_an_sqlite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    assert database_url("jobs.db") == f"sqlite:///{tmp_path}/jobs.db"
    assert database_url("/a/b.db") == "sqlite:////a/b.db"
    assert database_url("~/b.db") == "sqlite:////home/ada/b.db"
    assert database_url("c:b.db") == f"sqlite:///{tmp_path}/c:b.db"


def test_without_any_it_lies_in_the_data_directory(tmp_path: Path) -> None:
    assert database_url(None) == f"sqlite:///{tmp_path}/data/heliostat/heliostat.db"
    assert database_url("") == database_url(None)
    assert (tmp_path / "data/heliostat").is_dir()


def test_a_data_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, no directory")
    with pytest.raises(SpecError, match=r"cannot be made .*; name another place for jobs with --db or HELIOSTAT_DB"):
        database_url(None)
