"""A log as it grows."""

from __future__ import annotations

import os
from pathlib import Path

from heliostat.studio.page.log_follower import FARTHEST, LEFT_OUT, LogFollower


def test_what_is_added_is_read_once(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    follower = LogFollower(tmp_path, log)
    assert follower.read() == ""  # there is none yet
    log.write_text("one\ntwo\n")
    assert follower.read() == "one\ntwo\n"
    assert follower.read() == ""
    with log.open("a") as file:
        file.write("three\n")
    assert follower.read() == "three\n"


def test_a_line_that_is_not_ended_waits_until_nothing_is_added(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("one\npart")
    follower = LogFollower(tmp_path, log)
    assert follower.read() == "one\n"
    assert follower.read() == "part\n"


def test_control_characters_and_broken_text_do_no_harm(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"\x1b[31mred\x1b[0m <b>\x07\xff\n")
    text = LogFollower(tmp_path, log).read()
    assert text.startswith("red <b>")
    assert not {"\x1b", "\x07"} & set(text)


def test_of_a_long_log_the_end_is_read_from_a_line_on(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    follower = LogFollower(tmp_path, log, tail=100)
    text = follower.read()
    first, *lines = text.splitlines(keepends=True)
    assert first == LEFT_OUT
    assert lines[0].startswith("line 99")
    assert lines[-1] == "line 9999\n"
    with log.open("a") as file:  # faster than it is read
        file.write("x\n" * 100 * FARTHEST)
    assert follower.read().startswith(LEFT_OUT)


def test_a_log_that_a_command_has_made_a_link_or_a_pipe_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret\n")
    (folder / "linked.log").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "piped.log")
    for name in ("linked.log", "piped.log"):
        assert LogFollower(folder, folder / name).read() == ""
