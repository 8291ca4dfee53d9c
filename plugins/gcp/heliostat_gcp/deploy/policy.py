"""`heliostat gcp policy`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from heliostat_gcp.deploy import options


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
            help="coordinator: whoever renders on the deployment; deployer: whoever makes, looks after and removes it;"
            " worker: service and job themselves. The deployment gives the first and the last what they need.",
        ),
    ] = Role.coordinator,
    name: options.Name = options.DEFAULT_NAME,
    project: Annotated[str, typer.Option("--project", metavar="ID", help="The project.")] = "PROJECT",
    region: Annotated[str, typer.Option("--region", metavar="REGION", help="The region.")] = "REGION",
    number: Annotated[
        str,
        typer.Option("--project-number", metavar="NUMBER", help="The project's number, of which the bucket is named."),
    ] = "PROJECT_NUMBER",
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="URI",
            help="For a deployer: the worker image.  [default: one in the repository heliostat of project and region]",
        ),
    ] = None,
) -> None:
    """Print the roles that somebody needs, each on its resource, as JSON.

    Beside each role stand its permissions that Heliostat uses, for those who would rather have a role of their own. No
    credentials are needed for this.
    """
    import json

    from heliostat_gcp import policy
    from heliostat_gcp.admin_api import Place
    from heliostat_gcp.deploy.deployment import Names

    names = Names(name, Place(project, region), f"{name}-{number}-{region}")
    if role is Role.deployer:
        grants = policy.of_deployer(names, image)
    else:
        grants = policy.of_worker(names) if role is Role.worker else policy.of_coordinator(names)
    typer.echo(json.dumps({"for": role.value, "grants": grants}, indent=2))
