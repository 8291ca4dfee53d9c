"""Who may what on a resource: the roles that the template speaks of are held by whom it says, and by nobody else.

Other roles, and bindings with a condition, are somebody else's and stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec import Struct

from heliostat_gcp.deploy.resource import Policy, Resource

CONDITIONS: Final = 3
"""The version of policies that can have conditions."""
TRIES: Final = 5
"""How often a policy is read and written anew because somebody else has written it meanwhile."""

Grants = Mapping[str, Collection[str]]
"""Members by role."""


class Change(Struct, frozen=True):
    role: str
    member: str
    given: bool
    """Else taken away."""

    @property
    def line(self) -> str:
        return f"{self.role}: {'+' if self.given else '-'} {self.member}"


def member(email: str) -> str:
    """How IAM writes somebody."""
    return f"{'serviceAccount' if email.endswith('.gserviceaccount.com') else 'user'}:{email}"


def held(policy: Policy, role: str) -> set[str]:
    """Who has a role, without conditions."""
    bindings = [binding for binding in policy.get("bindings", []) if binding["role"] == role]
    return {member for binding in bindings if "condition" not in binding for member in binding.get("members", [])}


def changes(policy: Policy, grants: Grants) -> list[Change]:
    found = []
    for role, wanted in grants.items():
        there = held(policy, role)
        found += [Change(role, member, True) for member in sorted(set(wanted) - there)]
        found += [Change(role, member, False) for member in sorted(there - set(wanted))]
    return found


def apply(resource: Resource, grants: Grants) -> None:
    def give(policy: Policy) -> None:
        kept = [
            binding for binding in policy.get("bindings", []) if binding["role"] not in grants or "condition" in binding
        ]
        given = [{"role": role, "members": sorted(members)} for role, members in grants.items() if members]
        policy["bindings"] = kept + given

    _rewrite(resource, give)


def take_from(resource: Resource, members: Collection[str]) -> None:
    """Whatever roles somebody has."""

    def take(policy: Policy) -> None:
        for binding in policy.get("bindings", []):
            binding["members"] = [member for member in binding.get("members", []) if member not in members]
        policy["bindings"] = [binding for binding in policy.get("bindings", []) if binding["members"]]

    _rewrite(resource, take)


def _rewrite(resource: Resource, change: Callable[[Policy], None]) -> None:
    from google.api_core.exceptions import Conflict, PreconditionFailed

    for left in reversed(range(TRIES)):
        policy = resource.policy()
        before = copy.deepcopy(policy)
        change(policy)
        if policy == before:
            return
        policy["version"] = CONDITIONS
        try:
            resource.set_policy(policy)
            return
        except (Conflict, PreconditionFailed):  # Aborted is a Conflict
            if not left:
                raise
