"""A command as an argument list."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def is_plain(command: str) -> bool:
    """Whether blanks alone separate the words: ASCII without quotes, backslashes and control characters."""
    return (
        command.isascii()
        and command.isprintable()
        and '"' not in command
        and "'" not in command
        and "\\" not in command
    )


def split_command(command: str | Sequence[str]) -> list[str]:
    """A command's argument list. A string is split as a POSIX shell splits words: quotes and backslashes count,
    nothing is expanded, `#` begins no comment. Raises ValueError when a quote is not closed or nothing is escaped."""
    if not isinstance(command, str):
        return list(command)
    if is_plain(command):
        return command.split()  # shlex would take a hundred times as long, and there may be a million of them
    try:
        return shlex.split(command)
    except ValueError as error:
        what = "a quote is not closed" if "quotation" in str(error) else "it ends in a lone backslash"
        raise ValueError(f"the command cannot be split into words: {what}") from None
