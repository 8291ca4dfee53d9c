"""`heliostat aws deploy`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from heliostat_aws.deploy import options

if TYPE_CHECKING:
    from heliostat.errors import Misconfigured
    from heliostat_aws.deploy.changes import ChangeSet
    from heliostat_aws.deploy.events import Events, Outcome
    from heliostat_aws.deploy.services import Services
    from heliostat_aws.deploy.stack import Stack
    from heliostat_aws.session import Connection


def command(
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="URI",
            help="The worker image in Amazon ECR, in this region. Needed for a new stack; otherwise it stays as it is.",
        ),
    ] = None,
    stack: options.StackName = options.DEFAULT_STACK,
    memory: Annotated[
        int | None,
        typer.Option("--memory", min=128, max=10240, metavar="MB", help="Memory of the function.  [default: 3008]"),
    ] = None,
    timeout: Annotated[
        int | None,
        typer.Option(
            "--timeout", min=1, max=900, metavar="SECONDS", help="The longest that a chunk may take.  [default: 900]"
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", metavar="KEY=VALUE", help="Any parameter of the template; may be repeated."),
    ] = None,
    yes: options.Yes = False,
    region: options.Region = None,
    profile: options.Profile = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Make the stack, or bring it up to date.

    Shows first what would change. What is not given stays as it is in a stack that is there.
    """
    from heliostat_aws.deploy.changes import carry_out, propose, withdraw
    from heliostat_aws.deploy.events import Events
    from heliostat_aws.deploy.services import services_for
    from heliostat_aws.deploy.stack import find_stack, get_stack
    from heliostat_aws.session import Connection

    given = _parameters(image, memory, timeout, parameters or ())
    options.check_that_somebody_answers(yes, "change the stack")
    connection = Connection(region=region, profile=profile, endpoint_url=endpoint_url)
    with services_for(f"stack {stack}", connection) as services:
        formation = services["cloudformation"]
        found = find_stack(formation, stack)
        _check_that_it_can_change(services, stack, found, given)
        change_set = propose(formation, stack, found, given)
        if change_set is None:
            typer.echo(f"Stack {stack} in {services.region} is as it should be; there is nothing to change.")
            return
        _show(stack, services.region, change_set)
        if not yes and not options.agrees():
            withdraw(formation, change_set)
            typer.echo("Nothing was changed.")
            raise typer.Exit(1)
        events = Events(formation, change_set.stack_id)
        carry_out(formation, change_set)
        outcome = _follow(stack, events)
        if outcome.state not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise _failure(stack, change_set.creates, outcome)
        _say_what_is_next(get_stack(formation, stack), connection)


def _parameters(image: str | None, memory: int | None, timeout: int | None, pairs: Sequence[str]) -> dict[str, str]:
    """Raises SpecError."""
    from heliostat.errors import SpecError
    from heliostat_aws.deploy.template import check_parameters

    given = {"ImageUri": image, "MemoryMb": memory, "TimeoutSeconds": timeout}
    named = {key: str(value) for key, value in given.items() if value is not None}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SpecError(f"{pair!r} is no parameter; write KEY=VALUE")
        named[key] = value
    check_parameters(named)
    return named


def _check_that_it_can_change(services: Services, name: str, stack: Stack | None, given: dict[str, str]) -> None:
    """Raises SpecError and Misconfigured."""
    from heliostat.errors import Misconfigured, SpecError
    from heliostat_aws.deploy.events import because, first_failure

    if stack is None or stack.is_proposed:
        if "ImageUri" not in given:
            raise SpecError(
                f"there is no stack {name!r} in {services.region} yet, and a new one needs --image URI; infra/README.md"
                " in Heliostat's repository says how to build the worker image"
            )
        return
    if stack.state.endswith("_IN_PROGRESS"):
        raise Misconfigured(
            f"stack {name} is being changed already ({stack.state}); wait until `heliostat aws status --stack {name}`"
            " says that this is over"
        )
    if stack.state == "UPDATE_ROLLBACK_FAILED":
        raise Misconfigured(
            f"stack {name} is stuck between two states (UPDATE_ROLLBACK_FAILED); mend what"
            f" `heliostat aws status --stack {name}` shows, then run"
            f" `aws cloudformation continue-update-rollback --stack-name {name}`"
        )
    if not stack.is_usable:
        failure = first_failure(services["cloudformation"], stack.id)
        raise Misconfigured(
            f"stack {name} was not made to the end ({stack.state}{because(failure)}), and such a stack cannot be"
            f" changed; remove it with `heliostat aws destroy --stack {name}`, then deploy again"
        )


def _show(name: str, region: str, change_set: ChangeSet) -> None:
    from heliostat_aws.deploy.tables import print_table

    typer.echo(f"Stack {name} in {region} {'would be made' if change_set.creates else 'would change'}:")
    rows = [(change.action, change.resource, change.kind) for change in change_set.changes]
    print_table(rows or [("modify", "settings of the stack alone", "")], indent="  ")


def _follow(name: str, events: Events) -> Outcome:
    """Raises HeliostatError when the user has seen enough."""
    from heliostat.errors import HeliostatError
    from heliostat_aws.deploy.events import follow

    try:
        return follow(events, lambda event: typer.echo(f"  {event.line}"))
    except KeyboardInterrupt:
        raise HeliostatError(
            f"AWS goes on without being watched; `heliostat aws status --stack {name}` shows how it ends"
        ) from None


ADVICE = {
    "not authorized": "`heliostat aws policy --for deployer` prints what the caller needs to be allowed",
    "AccessDenied": "`heliostat aws policy --for deployer` prints what the caller needs to be allowed",
    "Source image": "push the worker image to Amazon ECR in this region, and give its URI",
    "MemorySize": "give less --memory, or have the account's quota raised",
    "UnreservedConcurrentExecution": "set less aside with --parameter ReservedConcurrency=…, or have the quota raised",
    "already exists": "remove what has that name, or choose another --stack",
}
"""By words in CloudFormation's reason."""


def _failure(name: str, created: bool, outcome: Outcome) -> Misconfigured:
    from heliostat.errors import Misconfigured
    from heliostat_aws.deploy.events import because

    reason = outcome.failure.reason if outcome.failure else ""
    advice = next((advice for words, advice in ADVICE.items() if words in reason), "mend that")
    again = f"run `heliostat aws destroy --stack {name}`, and deploy again" if created else "deploy again"
    what = "could not be made" if created else "could not be changed, and is as it was"
    if outcome.state == "UPDATE_ROLLBACK_FAILED":
        what = "could not be changed, nor brought back"
    return Misconfigured(f"stack {name} {what} ({outcome.state}{because(outcome.failure)}); {advice}, then {again}")


def _say_what_is_next(stack: Stack, connection: Connection) -> None:
    import shlex

    import msgspec

    from heliostat_aws.deploy.tables import print_table

    typer.echo(f"Stack {stack.name} is ready:")
    print_table(list(stack.outputs.items()), indent="  ")
    where = [f"--set {key}={shlex.quote(value)}" for key, value in msgspec.structs.asdict(connection).items() if value]
    typer.echo("Next:")
    typer.echo("  " + " ".join(["heliostat render job.toml --worker aws-lambda", f"--set stack={stack.name}", *where]))
