"""`heliostat gcp destroy`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from heliostat_gcp.deploy import options

if TYPE_CHECKING:
    from heliostat_gcp.deploy.deployment import Deployment
    from heliostat_gcp.deploy.resource import Resource

MOST_EXECUTIONS: Final = 1000
"""How many of the newest executions are looked at for those that run."""


def command(
    name: options.Name = options.DEFAULT_NAME,
    delete_artifacts: Annotated[
        bool,
        typer.Option("--delete-artifacts", help="Delete the bucket too, with every input, chunk and film in it."),
    ] = False,
    yes: options.Yes = False,
    project: options.Project = None,
    region: options.Region = None,
    endpoint: options.Endpoint = None,
) -> None:
    """Take service, job and accounts away.

    The bucket stays, with what is in it, unless --delete-artifacts is given. Jobs that run on the deployment fail.
    """
    from heliostat_gcp.deploy.deployment import Deployment
    from heliostat_gcp.deploy.google import Connection, google_for
    from heliostat_gcp.deploy.project import get_project

    options.check_that_somebody_answers(yes, "remove the deployment")
    connection = Connection(project=project, region=region, endpoint=endpoint)
    with google_for(f"deployment {name}", connection) as google:
        deployment = Deployment(google, name, get_project(google), {})
        there = [resource for resource, _ in deployment.find()]
        running = deployment.job.running(MOST_EXECUTIONS) if deployment.job in there else []
        _show(deployment, there, len(running), delete_artifacts)
        if not yes and not options.agrees():
            typer.echo("Nothing was removed.")
            raise typer.Exit(1)
        for execution in running:
            _end(deployment, execution)
        for resource in reversed(there):  # accounts last, after all that has them
            _remove(deployment, resource, delete_artifacts)
        typer.echo(f"{deployment.title} is removed.")
        if deployment.bucket in there and not delete_artifacts:
            bucket = deployment.bucket.name
            typer.echo(f"Bucket {bucket} is kept; `gcloud storage rm --recursive {bucket}` deletes it with all in it.")


def _show(deployment: Deployment, there: list[Resource], running: int, delete_artifacts: bool) -> None:
    typer.echo(f"{deployment.title} would be removed:")
    if running:
        typer.echo(f"  {running} executions of job {deployment.name} are running, and would be ended")
    for resource in reversed(there):
        fate = "remove"
        if resource is deployment.bucket:
            fate = "delete, with everything in it," if delete_artifacts else "keep, with what is in it,"
        typer.echo(f"  {fate} {resource.kind} {resource.name}")


def _end(deployment: Deployment, execution: Any) -> None:
    from heliostat_gcp.deploy.google import refusals

    short = execution.name.rpartition("/")[2]
    with refusals(f"execution {short}"):
        deployment.job.end(execution)
    typer.echo(f"  ended    execution {short}")


def _remove(deployment: Deployment, resource: Resource, delete_artifacts: bool) -> None:
    """Raises HeliostatErrors."""
    from google.api_core.exceptions import NotFound

    from heliostat_gcp.deploy import grants
    from heliostat_gcp.deploy.google import refusals

    with refusals(f"{resource.kind} {resource.name}"):
        if resource is deployment.bucket and not delete_artifacts:
            accounts = [grants.member(email) for email in (deployment.names.worker, deployment.names.coordinator)]
            grants.take_from(resource, accounts)
            typer.echo(f"  kept     {resource.kind} {resource.name}")
            return
        with contextlib.suppress(NotFound):  # somebody else was faster
            resource.delete()
        typer.echo(f"  removed  {resource.kind} {resource.name}")
