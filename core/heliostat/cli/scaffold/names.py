"""What a plugin and its parts are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from heliostat.errors import SpecError

_PREFIX: Final = "heliostat-"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Names:
    """All follow from the name of the adapter, such as `my-farm`."""

    name: str

    @classmethod
    def of(cls, text: str) -> Names:
        """The names for what somebody typed; `heliostat-ssh` is `ssh`. Raises SpecError."""
        name = text.removeprefix(_PREFIX)
        if not _NAME.fullmatch(name):
            raise SpecError(
                f"{text!r} cannot name a plugin; take lower-case letters, digits and single hyphens between them, and"
                " begin with a letter, as in my-farm"
            )
        return cls(name)

    @property
    def distribution(self) -> str:
        return _PREFIX + self.name

    @property
    def module(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def prefix(self) -> str:
        """What its classes begin with: `MyFarm`."""
        return "".join(part.capitalize() for part in self.name.split("-"))
