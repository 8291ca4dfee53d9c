"""What CloudFormation tells while it works on a stack."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

POLL: Final = 2.0
"""Seconds between two looks."""
VERBS: Final = {
    "CREATE_COMPLETE": "created",
    "UPDATE_COMPLETE": "changed",
    "DELETE_COMPLETE": "removed",
    "DELETE_SKIPPED": "kept",
    "CREATE_FAILED": "failed",
    "UPDATE_FAILED": "failed",
    "DELETE_FAILED": "failed",
}
"""Of a resource whose turn is over."""


class Event(Struct, frozen=True, kw_only=True):
    id: str
    resource: str
    kind: str
    status: str
    reason: str
    of_stack: bool
    """Of the stack itself, not of a resource in it."""

    @property
    def verb(self) -> str | None:
        return VERBS.get(self.status)

    @property
    def line(self) -> str:
        """For people, of a resource whose turn is over."""
        reason = f": {self.reason}" if self.verb == "failed" and self.reason else ""
        return f"{self.verb}  {self.resource}  ({self.kind}){reason}"


class Outcome(Struct, frozen=True):
    state: str
    """What the stack ended in, such as UPDATE_ROLLBACK_COMPLETE."""
    failure: Event | None
    """The first resource that failed by itself, not for another one's sake."""


class Events:
    """A stack's events, each returned once. Those from before are not returned."""

    def __init__(self, formation: Any, stack_id: str) -> None:
        self._formation = formation
        self._stack_id = stack_id
        self._seen: set[str] = set()
        self.new()

    def new(self) -> list[Event]:
        """The oldest first."""
        fresh: list[Event] = []
        pages = self._formation.get_paginator("describe_stack_events").paginate(StackName=self._stack_id)
        for page in pages:
            unseen = [_event(told) for told in page["StackEvents"] if told["EventId"] not in self._seen]
            fresh += unseen  # the newest first
            if len(unseen) < len(page["StackEvents"]):
                break
        self._seen.update(event.id for event in fresh)
        return fresh[::-1]


def follow(events: Events, tell: Callable[[Event], None]) -> Outcome:
    """Tell of each resource when its turn is over, until the stack's is."""
    told = set()
    failure = None
    while True:
        for event in events.new():
            if event.of_stack:
                if not event.status.endswith("_IN_PROGRESS"):
                    return Outcome(event.status, failure)
            elif event.verb and (event.resource, event.verb) not in told:
                told.add((event.resource, event.verb))
                tell(event)
                if event.verb == "failed" and "cancelled" not in event.reason:
                    failure = failure or event
        time.sleep(POLL)


def because(failure: Event | None) -> str:
    """What to add to a sentence on a stack's state."""
    if failure is None:
        return ""
    return f", because of {failure.resource}: {(failure.reason or 'no reason given').rstrip('.')}"


def first_failure(formation: Any, stack_id: str) -> Event | None:
    """Why a stack came to be what it is, from its whole history."""
    pages = formation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    failures = [
        event
        for page in pages
        for event in map(_event, page["StackEvents"])
        if event.verb == "failed" and not event.of_stack and "cancelled" not in event.reason
    ]
    return failures[-1] if failures else None


def _event(told: dict[str, Any]) -> Event:
    return Event(
        id=told["EventId"],
        resource=told["LogicalResourceId"],
        kind=told["ResourceType"],
        status=told["ResourceStatus"],
        reason=" ".join((told.get("ResourceStatusReason") or "").split()),
        of_stack=told.get("PhysicalResourceId") == told["StackId"],
    )
