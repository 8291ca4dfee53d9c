"""Options that commands have in common, with their help."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Final

import typer

from heliostat.errors import SpecError

DEFAULT_STACK: Final = "heliostat"

_STACK_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
"""Names of buckets and roles are made of it, which allow less than CloudFormation."""


def check_stack_name(name: str) -> str:
    if not _STACK_NAME.fullmatch(name):
        raise typer.BadParameter(
            f"{name!r} cannot name a stack: use up to 32 lower-case letters, digits and hyphens, a letter first"
        )
    return name


StackName = Annotated[
    str,
    typer.Option("--stack", metavar="NAME", help="The CloudFormation stack.", callback=check_stack_name),
]
Region = Annotated[
    str | None,
    typer.Option("--region", metavar="REGION", help="The AWS region.  [default: AWS_DEFAULT_REGION, or the profile's]"),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="A profile of ~/.aws/config.  [default: AWS_PROFILE]"),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option("--endpoint-url", metavar="URL", help="Where AWS is, when not where the region says."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def check_that_somebody_answers(yes: bool, what: str) -> None:
    """Raises SpecError when a question would have to be asked, and there is no terminal."""
    if not yes and not sys.stdin.isatty():
        raise SpecError(f"there is nobody to ask whether to {what}; add --yes")


def agrees() -> bool:
    """Ask. To leave without an answer is a no."""
    try:
        return typer.confirm("Go ahead?")
    except typer.Abort:
        typer.echo()
        return False
