"""Change sets: what CloudFormation would do, before it does it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from heliostat.errors import Misconfigured
from heliostat_aws.deploy.stack import Stack
from heliostat_aws.deploy.template import parse_template, template_text

POLL: Final = 1.0
"""Seconds between two looks at a change set that is being made."""
NOTHING: Final = ("No updates are to be performed", "didn't contain changes")


class Change(Struct, frozen=True):
    action: str
    """add, modify or remove; replace, or maybe replace, when the resource is made anew."""
    resource: str
    kind: str


class ChangeSet(Struct, frozen=True, kw_only=True):
    id: str
    stack_id: str
    creates: bool
    changes: tuple[Change, ...]


def propose(formation: Any, name: str, stack: Stack | None, given: Mapping[str, str]) -> ChangeSet | None:
    """Have a change set made; None when nothing would change. What is not given stays as it is in the stack."""
    from botocore.exceptions import ClientError

    creates = stack is None or stack.is_proposed
    previous = {} if stack is None or creates else stack.parameters
    parameters = [
        {"ParameterKey": key, "ParameterValue": given[key]}
        if key in given
        else {"ParameterKey": key, "UsePreviousValue": True}
        for key in parse_template()["Parameters"]
        if key in given or key in previous
    ]
    try:
        made = formation.create_change_set(
            StackName=name,
            ChangeSetName=f"heliostat-{secrets.token_hex(8)}",
            ChangeSetType="CREATE" if creates else "UPDATE",
            TemplateBody=template_text(),
            Parameters=parameters,
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
    except ClientError as error:
        if any(words in str(error) for words in NOTHING):
            return None
        raise
    described = _when_ready(formation, made["Id"])
    change_set = ChangeSet(
        id=made["Id"],
        stack_id=made["StackId"],
        creates=creates,
        changes=tuple(_change(change["ResourceChange"]) for change in described.get("Changes", [])),
    )
    if described["Status"] == "CREATE_COMPLETE":
        return change_set
    withdraw(formation, change_set)
    reason = described.get("StatusReason") or "no reason given"
    if any(words in reason for words in NOTHING):
        return None
    raise Misconfigured(f"CloudFormation cannot change stack {name} ({reason.rstrip('.')}); mend that and deploy again")


def carry_out(formation: Any, change_set: ChangeSet) -> None:
    """Begin; `events.follow` tells how it ends. When a creation fails, the new and empty bucket goes as well."""
    formation.execute_change_set(ChangeSetName=change_set.id, RetainExceptOnCreate=True)


def withdraw(formation: Any, change_set: ChangeSet) -> None:
    """Forget a change set, and the empty stack that it stands for."""
    formation.delete_change_set(ChangeSetName=change_set.id)
    if change_set.creates:
        formation.delete_stack(StackName=change_set.stack_id)


def _when_ready(formation: Any, change_set_id: str) -> dict[str, Any]:
    while True:
        described: dict[str, Any] = formation.describe_change_set(ChangeSetName=change_set_id)
        if described["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            return described
        time.sleep(POLL)


def _change(described: Mapping[str, Any]) -> Change:
    anew = {"True": "replace", "Conditional": "maybe replace"}
    return Change(
        action=anew.get(described.get("Replacement", ""), described["Action"].lower()),
        resource=described["LogicalResourceId"],
        kind=described["ResourceType"],
    )
