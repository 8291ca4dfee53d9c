"""`heliostat gcp deploy`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from heliostat_gcp.deploy import options

if TYPE_CHECKING:
    from heliostat_gcp.deploy.deployment import Deployment, Step
    from heliostat_gcp.deploy.google import Connection
    from heliostat_gcp.deploy.settling import Settling


def command(
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="URI",
            help="The worker image in Artifact Registry. Needed at first; otherwise it stays as it is.",
        ),
    ] = None,
    name: options.Name = options.DEFAULT_NAME,
    memory: Annotated[
        int | None,
        typer.Option(
            "--memory",
            min=512,
            max=32768,
            metavar="MB",
            help="Memory of an instance or a task, files included.  [default: 4096]",
        ),
    ] = None,
    cpus: Annotated[
        int | None, typer.Option("--cpus", min=1, max=8, metavar="N", help="1, 2, 4, 6 or 8.  [default: 2]")
    ] = None,
    timeout: Annotated[
        int | None,
        typer.Option(
            "--timeout",
            min=1,
            max=3600,
            metavar="SECONDS",
            help="The longest that a chunk may take on the service.  [default: 3600]",
        ),
    ] = None,
    callers: Annotated[
        list[str] | None,
        typer.Option(
            "--caller",
            metavar="EMAIL",
            help="A service account or a person who may run jobs; may be repeated. Those that are given replace those"
            " of before.",
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", metavar="KEY=VALUE", help="Any parameter of the template; may be repeated."),
    ] = None,
    yes: options.Yes = False,
    project: options.Project = None,
    region: options.Region = None,
    endpoint: options.Endpoint = None,
) -> None:
    """Make service, job, bucket and accounts, or bring them up to date.

    Shows first what would change. What is not given stays as it is in a deployment that is there.
    """
    from heliostat_gcp.deploy.deployment import Deployment
    from heliostat_gcp.deploy.google import Connection, google_for
    from heliostat_gcp.deploy.project import get_project

    named = {"ImageUri": image, "MemoryMb": memory, "Cpus": cpus, "TimeoutSeconds": timeout}
    given = _parameters(named, callers or (), parameters or ())
    options.check_that_somebody_answers(yes, "change the deployment")
    connection = Connection(project=project, region=region, endpoint=endpoint)
    with google_for(f"deployment {name}", connection) as google:
        deployment = Deployment(google, name, get_project(google), given)
        steps = deployment.steps()
        if not steps:
            typer.echo(f"{deployment.title} is as it should be; there is nothing to change.")
            return
        _show(deployment, steps)
        if not yes and not options.agrees():
            typer.echo("Nothing was changed.")
            raise typer.Exit(1)
        _carry_out(steps)
        _say_what_is_next(deployment, connection)


def _parameters(named: dict[str, Any], callers: Sequence[str], pairs: Sequence[str]) -> dict[str, str]:
    """Raises SpecError."""
    from heliostat.errors import SpecError
    from heliostat_gcp.deploy.template import check_parameters

    given = {key: str(value) for key, value in named.items() if value is not None}
    if callers:
        given["Callers"] = ",".join(callers)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SpecError(f"{pair!r} is no parameter; write KEY=VALUE")
        given[key] = value
    if "Callers" in given:
        given["Callers"] = given["Callers"].lower()  # as IAM writes addresses
    check_parameters(given)
    return given


def _show(deployment: Deployment, steps: Sequence[Step]) -> None:
    typer.echo(f"{deployment.title} {'would be made' if deployment.is_new else 'would change'}:")
    width = max(len(step.part.resource.kind) for step in steps)
    for step in steps:
        resource = step.part.resource
        typer.echo(f"  {step.action:6}  {resource.kind:{width}}  {resource.name}")
        for line in step.lines:
            typer.echo(f"            {line}")


def _carry_out(steps: Sequence[Step]) -> None:
    """Raises HeliostatError."""
    from heliostat_gcp.deploy.settling import Settling

    settling = Settling(lambda news: typer.echo(f"  {news}"))
    made: list[str] = []
    for step in steps:
        resource = step.part.resource
        what = f"{resource.kind} {resource.name}"
        with _failures(what, made):
            _make(step, what, settling)
        made.append(what)


def _make(step: Step, what: str, settling: Settling) -> None:
    from heliostat_gcp.deploy import grants

    resource, found, wanted = step.part.resource, step.found, step.part.wanted
    if found is None:
        settling(lambda: resource.create(wanted))
        if resource.kind == "service account":
            settling.made(resource.name)
        typer.echo(f"  created  {what}")
    elif step.fields:
        settling(lambda: resource.update(found, wanted))
        typer.echo(f"  changed  {what}")
    if step.grants:
        settling(lambda: grants.apply(resource, step.part.grants))
        typer.echo(f"  granted  who may use {what}")


ADVICE: Final = {
    "image": "push the worker image to where --image says, and let Cloud Run in this project fetch it",
    "quota": "have the quota that it names raised, or ask for less with --parameter MaxInstances=N",
    "memory": "give --memory and --cpus that go together",
}
"""By words in Google's reason."""


@contextmanager
def _failures(what: str, made: Sequence[str]) -> Iterator[None]:
    """Say, too, what is done and how to go on."""
    from google.api_core.exceptions import GoogleAPICallError

    from heliostat.errors import HeliostatError
    from heliostat_gcp.deploy.google import is_denied, refusals

    so_far = f"; done so far: {', '.join(made)}" if made else ""
    try:
        with refusals(what):
            yield
    except KeyboardInterrupt:
        raise HeliostatError(
            f"Google goes on with {what} without being watched; run the same command again in a while{so_far}"
        ) from None
    except HeliostatError as error:
        sentence, cause = str(error), error.__cause__
        if isinstance(cause, GoogleAPICallError) and not is_denied(cause):
            said = " ".join(str(cause.message).split()).rstrip(".")
            advice = next((advice for words, advice in ADVICE.items() if words in said.lower()), None)
            sentence = sentence if advice is None else f"{what}: {said}; {advice}"
        raise HeliostatError(f"{sentence}; then run the same command again{so_far}") from error


def _say_what_is_next(deployment: Deployment, connection: Connection) -> None:
    import shlex

    from heliostat_gcp.deploy.tables import print_table

    service = deployment.service.get()
    typer.echo(f"{deployment.title} is ready:")
    print_table(
        [
            ("service", f"{deployment.name} at {service.uri}"),
            ("job", deployment.name),
            ("bucket", deployment.bucket.name),
            ("coordinator", deployment.names.coordinator),
        ],
        indent="  ",
    )
    where = {"project": deployment.place.project, "region": deployment.place.region, "endpoint": connection.endpoint}
    settings = [f"--set {key}={shlex.quote(value)}" for key, value in where.items() if value]
    render = "heliostat render job.toml --worker"
    typer.echo(f"Next, as one of the callers (people add --set impersonate={deployment.names.coordinator}):")
    typer.echo("  " + " ".join([f"{render} gcp-cloud-run --set service={deployment.name}", *settings]))
    typer.echo("  " + " ".join([f"{render} gcp-cloud-run-jobs --set job={deployment.name}", *settings]))
