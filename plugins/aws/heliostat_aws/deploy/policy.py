"""`heliostat aws policy`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from heliostat_aws.deploy import options


class Role(str, Enum):  # noqa: UP042  typer takes the names of a StrEnum's members for its values in older versions
    """Whom a policy is for."""

    coordinator = "coordinator"
    deployer = "deployer"
    worker = "worker"


def command(
    role: Annotated[
        Role,
        typer.Option(
            "--for",
            help="coordinator: whoever renders on the stack; deployer: whoever makes, looks after and removes it;"
            " worker: the function itself, which the stack gives it.",
        ),
    ] = Role.coordinator,
    stack: options.StackName = options.DEFAULT_STACK,
    account: Annotated[
        str, typer.Option("--account", metavar="ID", help="The AWS account, of 12 digits.", show_default="any")
    ] = "*",
    region: Annotated[
        str, typer.Option("--region", metavar="REGION", help="The AWS region.", show_default="any")
    ] = "*",
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="URI",
            help="For a deployer: the worker image.  [default: one in the repository heliostat-worker]",
        ),
    ] = None,
) -> None:
    """Print the IAM policy that somebody needs, as JSON.

    No credentials are needed for this. The policy for coordinators is also in the stack, as a managed policy
    STACK-coordinator-REGION to attach.
    """
    import json

    from heliostat_aws import policy

    place = policy.Place(stack=stack, account=account, region=region)
    if role is Role.deployer:
        document = policy.deployer_policy(place, image)
    else:
        document = policy.worker_policy(place) if role is Role.worker else policy.coordinator_policy(place)
    typer.echo(json.dumps(document, indent=2))
