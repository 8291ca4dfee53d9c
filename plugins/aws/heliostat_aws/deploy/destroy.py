"""`heliostat aws destroy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliostat_aws.deploy import options

if TYPE_CHECKING:
    from heliostat_aws.deploy.stack import Stack


def command(
    stack: options.StackName = options.DEFAULT_STACK,
    delete_artifacts: Annotated[
        bool,
        typer.Option("--delete-artifacts", help="Delete the bucket too, with every input, chunk and film in it."),
    ] = False,
    yes: options.Yes = False,
    region: options.Region = None,
    profile: options.Profile = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Take the stack away, and the queues of its coordinators.

    The bucket stays, with what is in it, unless --delete-artifacts is given. Jobs that run on the stack fail.
    """
    from heliostat_aws.deploy.services import services_for
    from heliostat_aws.deploy.stack import get_stack
    from heliostat_aws.session import Connection

    options.check_that_somebody_answers(yes, "remove the stack")
    connection = Connection(region=region, profile=profile, endpoint_url=endpoint_url)
    with services_for(f"stack {stack}", connection) as services:
        found = get_stack(services["cloudformation"], stack)
        bucket = find_bucket(services["cloudformation"], found)
        fate = _fate(bucket, delete_artifacts)
        typer.echo(f"Stack {stack} in {services.region} would be removed.{' ' + fate if fate else ''}")
        if not yes and not options.agrees():
            typer.echo("Nothing was removed.")
            raise typer.Exit(1)
        _remove(services["cloudformation"], found)
        if removed := _remove_queues(services["sqs"], stack):
            typer.echo(f"  removed  {removed} queues of coordinators")
        if bucket and delete_artifacts:
            _delete_bucket(services["s3"], bucket)
            typer.echo(f"  removed  bucket {bucket}")
        typer.echo(f"Stack {stack} is removed.")
        if bucket and not delete_artifacts:
            typer.echo(f"Bucket {bucket} is kept; `aws s3 rb --force s3://{bucket}` deletes it with all that is in it.")


def find_bucket(formation: Any, stack: Stack) -> str | None:
    """Also of a stack that was not made to the end, and so has no outputs."""
    from botocore.exceptions import ClientError

    if bucket := stack.outputs.get("BucketName"):
        return bucket
    try:
        found = formation.describe_stack_resource(StackName=stack.id, LogicalResourceId="Artifacts")
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    detail = found["StackResourceDetail"]
    return None if detail["ResourceStatus"] == "DELETE_COMPLETE" else detail.get("PhysicalResourceId") or None


def _fate(bucket: str | None, delete: bool) -> str:
    if bucket is None:
        return ""
    if delete:
        return f"Bucket {bucket} would be deleted, with everything in it."
    return f"Bucket {bucket} would be kept, with what is in it (--delete-artifacts deletes it)."


def _remove(formation: Any, stack: Stack) -> None:
    """Raises Misconfigured."""
    from heliostat.errors import Misconfigured
    from heliostat_aws.deploy.events import Events, because, follow

    events = Events(formation, stack.id)
    formation.delete_stack(StackName=stack.id)
    outcome = follow(events, lambda event: typer.echo(f"  {event.line}"))
    if outcome.state != "DELETE_COMPLETE":
        why = f"{outcome.state}{because(outcome.failure)}"
        raise Misconfigured(f"stack {stack.name} could not be removed ({why}); mend that and try again")


def _remove_queues(sqs: Any, stack: str) -> int:
    """Those that coordinators answer on; without the stack nobody writes to them any more."""
    pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix=f"{stack}-replies-")
    queues = [url for page in pages for url in page.get("QueueUrls", [])]
    for url in queues:
        sqs.delete_queue(QueueUrl=url)
    return len(queues)


def _delete_bucket(s3: Any, bucket: str) -> None:
    """With everything in it; versions too, should somebody have switched versioning on. Raises Misconfigured."""
    from heliostat.errors import Misconfigured

    while objects := _some_objects(s3, bucket):
        refused = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True}).get("Errors", [])
        if refused:
            raise Misconfigured(
                f"bucket {bucket} cannot be emptied ({refused[0].get('Key')}: {refused[0].get('Message')}); mend that,"
                f" then run `aws s3 rb --force s3://{bucket}`"
            )
    s3.delete_bucket(Bucket=bucket)


def _some_objects(s3: Any, bucket: str) -> list[dict[str, str]]:
    """As many as one request lists, and deletes."""
    listed = s3.list_object_versions(Bucket=bucket, MaxKeys=1000)
    every = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
    return [{"Key": known["Key"], "VersionId": known["VersionId"]} for known in every]
