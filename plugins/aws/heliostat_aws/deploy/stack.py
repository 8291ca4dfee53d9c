"""The stack as CloudFormation describes it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from heliostat.errors import Misconfigured


class Stack(Struct, frozen=True, kw_only=True):
    name: str
    id: str
    state: str
    """Such as CREATE_COMPLETE."""
    reason: str = ""
    outputs: dict[str, str] = {}
    parameters: dict[str, str] = {}

    @property
    def is_proposed(self) -> bool:
        """Nothing is there yet but a change set that nobody has carried out."""
        return self.state == "REVIEW_IN_PROGRESS"

    @property
    def is_usable(self) -> bool:
        return self.state in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")


def find_stack(formation: Any, name: str) -> Stack | None:
    """None when there is no such stack; may be given its id."""
    from botocore.exceptions import ClientError

    try:
        (found,) = formation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return Stack(
        name=found["StackName"],
        id=found["StackId"],
        state=found["StackStatus"],
        reason=found.get("StackStatusReason") or "",
        outputs={output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])},
        parameters={known["ParameterKey"]: known.get("ParameterValue", "") for known in found.get("Parameters", [])},
    )


def get_stack(formation: Any, name: str) -> Stack:
    """Raises Misconfigured when there is no such stack."""
    if (stack := find_stack(formation, name)) is not None:
        return stack
    raise Misconfigured(
        f"there is no stack {name!r} in {formation.meta.region_name}; make it with"
        f" `heliostat aws deploy --stack {name} --image URI`, or choose another --stack, --region or --profile"
    )
