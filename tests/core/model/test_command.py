"""A command as an argument list."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heliostat.model.command import split_command

words = st.text(alphabet=" \t\n\r\x0b\x1c\u00a0\u2003ab-=#$*;|'\"\\é", max_size=20)


@given(words)
@example("a # b")
@example("a\u00a0b \x0bc")
@example("")
def test_a_string_is_split_as_shlex_splits_it_and_nothing_more(command: str) -> None:
    try:
        expected = shlex.split(command)
    except ValueError:
        with pytest.raises(ValueError, match="the command cannot be split into words"):
            split_command(command)
    else:
        assert split_command(command) == expected


def test_a_list_stays_as_it_is() -> None:
    assert split_command(("echo", "a b", "'")) == ["echo", "a b", "'"]


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("echo 'a", "the command cannot be split into words: a quote is not closed"),
        ('echo "a', "the command cannot be split into words: a quote is not closed"),
        ("echo a\\", "the command cannot be split into words: it ends in a lone backslash"),
    ],
)
def test_what_is_left_open_is_refused_in_words(command: str, problem: str) -> None:
    with pytest.raises(ValueError, match="cannot be split") as raised:
        split_command(command)
    assert str(raised.value) == problem
