"""What all resources of a deployment have in common: they are looked for, made, changed, removed, and say who may."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from msgspec import Struct

Properties = dict[str, Any]
"""A resource as JSON, in its API's own words."""
Policy = dict[str, Any]
"""An IAM policy as JSON: `bindings`, `etag`, `version`."""


class Found(Struct, frozen=True, kw_only=True):
    """A resource that is there."""

    properties: Properties
    is_ours: bool
    """Whether this deployment has made it."""
    is_changing: bool = False
    """Somebody changes it right now."""
    trouble: str = ""
    """Why it cannot be used, which another try at it may mend."""


class Resource(ABC):
    """Every method raises errors of Google's libraries, and Misconfigured."""

    kind: ClassVar[str]
    """Such as `service account`."""

    def __init__(self, name: str) -> None:
        self.name = name
        """For people."""

    @abstractmethod
    def find(self) -> Found | None:
        """None when there is none."""

    @abstractmethod
    def create(self, wanted: Properties) -> None:
        """Returns when it can be used."""

    @abstractmethod
    def update(self, found: Found, wanted: Properties) -> None:
        """What `wanted` does not speak of stays as it is. Returns when it can be used."""

    @abstractmethod
    def delete(self) -> None: ...

    @abstractmethod
    def policy(self) -> Policy: ...

    @abstractmethod
    def set_policy(self, policy: Policy) -> None:
        """Refused when somebody has changed it since it was read."""
