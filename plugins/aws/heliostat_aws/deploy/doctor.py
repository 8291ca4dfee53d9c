"""`heliostat aws doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from heliostat_aws.deploy import options


def command(
    stack: options.StackName = options.DEFAULT_STACK,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", "-n", min=1, metavar="N", help="Chunks at once that jobs will want."),
    ] = None,
    region: options.Region = None,
    profile: options.Profile = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Look for what would keep jobs from running on the stack.

    Invokes the function once, and leaves nothing behind. The exit status is 1 when something has failed.
    """
    from heliostat_aws.deploy.checks import examine
    from heliostat_aws.session import Connection

    failed = False
    connection = Connection(region=region, profile=profile, endpoint_url=endpoint_url)
    for finding in examine(connection, stack, concurrency):
        failed = failed or finding.verdict == "failed"
        typer.echo(f"{finding.verdict:8} {finding.check}: {finding.detail}")
    if failed:
        raise typer.Exit(1)
