"""`heliostat gcp doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from heliostat_gcp.deploy import options


def command(
    name: options.Name = options.DEFAULT_NAME,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", "-n", min=1, metavar="N", help="Chunks at once that jobs will want."),
    ] = None,
    impersonate: Annotated[
        str | None,
        typer.Option(
            "--impersonate",
            metavar="EMAIL",
            help="The service account in whose name the service is called, for credentials that cannot make ID tokens.",
        ),
    ] = None,
    project: options.Project = None,
    region: options.Region = None,
    endpoint: options.Endpoint = None,
) -> None:
    """Look for what would keep jobs from running on the deployment.

    Calls the service once, and leaves nothing behind. The exit status is 1 when something has failed.
    """
    from heliostat_gcp.deploy.checks import examine
    from heliostat_gcp.deploy.google import Connection

    failed = False
    connection = Connection(project=project, region=region, endpoint=endpoint)
    for finding in examine(connection, name, concurrency, impersonate):
        failed = failed or finding.verdict == "failed"
        typer.echo(f"{finding.verdict:8} {finding.check}: {finding.detail}")
    if failed:
        raise typer.Exit(1)
