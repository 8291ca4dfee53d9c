"""Files that appear under their name when they are whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from heliostat.worker.unfinished import settle, unfinished_file


def test_a_file_that_is_renamed_stays(tmp_path: Path) -> None:
    with unfinished_file(tmp_path) as new:
        new.write(b"film")
        settle(new)
        assert Path(new.name).read_bytes() == b"film"
        assert Path(new.name).parent == tmp_path
        os.replace(new.name, tmp_path / "film")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"film": b"film"}


def test_a_file_that_is_not_renamed_is_gone(tmp_path: Path) -> None:
    def interrupted() -> None:
        with unfinished_file(tmp_path) as new:
            new.write(b"film")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with unfinished_file(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_have_different_names(tmp_path: Path) -> None:
    with unfinished_file(tmp_path) as one, unfinished_file(tmp_path) as two:
        assert one.name != two.name
