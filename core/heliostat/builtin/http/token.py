"""The token that workers behind HTTP and their callers share."""

from __future__ import annotations

import hmac
import os
import re
from pathlib import Path
from typing import Final

from heliostat.errors import SpecError

VARIABLE: Final = "HELIOSTAT_WORKER_TOKEN"


def find_token(file: str | Path | None) -> str | None:
    """What the file says, or else the environment variable; None without either. Raises SpecError."""
    if file is not None:
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(f"the token cannot be read from {file} ({error}); name a file that holds it") from None
        where = str(file)
    else:
        token, where = os.environ.get(VARIABLE, "").strip(), VARIABLE
        if not token:
            return None
    if not re.fullmatch(r"[\x21-\x7e]{16,}", token):
        raise SpecError(f"the token in {where} is to be 16 or more characters of ASCII without blanks; make another")
    return token


def is_same(one: str, other: str) -> bool:
    """In a time that tells nothing of where they differ."""
    return hmac.compare_digest(*(text.encode("utf-8", "surrogateescape") for text in (one, other)))
