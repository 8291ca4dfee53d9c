"""What a terminal may be told: whether it can show a live display, and text that does not command it."""

from __future__ import annotations

import os
import re
import sys
import unicodedata

# ECMA-48 control sequences (CSI), operating system commands and other strings (OSC, DCS, SOS, PM, APC), short escapes.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[]P^_X]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
_SPACES = "\t\n\r\v\f\u2028\u2029"
_UNSEEN = ("Cc", "Cf", "Cs", "Co")
"""Unicode categories of characters that command, reorder or hide: control, format, surrogate, private use."""


def stderr_is_live() -> bool:
    """Whether stderr is a terminal that understands cursor movement."""
    try:
        return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    except (AttributeError, ValueError):  # no stderr, or a closed one
        return False


def plain(text: str) -> str:
    """Text as one line without anything that a terminal would act on."""
    return _without_commands(text).strip()


def plain_lines(text: str) -> list[str]:
    """The lines of a program's output without anything that a terminal would act on. Of a line that was drawn over and
    over (`\\r`), what was seen last."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.strip("\r\n").split("\n"))
    return [_without_commands(line).rstrip() for line in lines]


def _without_commands(text: str) -> str:
    seen = (" " if char in _SPACES else char for char in _SEQUENCES.sub("", text))
    return "".join(char for char in seen if unicodedata.category(char) not in _UNSEEN)
