"""Options that commands have in common, with their help."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Final

import typer

from heliostat.errors import SpecError

DEFAULT_NAME: Final = "heliostat"

_NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,16}[a-z0-9])?")
"""Names of service accounts are made of it, which have at most 30 characters."""


def check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise typer.BadParameter(
            f"{name!r} cannot name a deployment: use up to 18 lower-case letters, digits and hyphens, a letter first"
            " and no hyphen last"
        )
    return name


Name = Annotated[
    str,
    typer.Option("--name", metavar="NAME", help="What service and job are called.", callback=check_name),
]
Project = Annotated[
    str | None,
    typer.Option(
        "--project", metavar="ID", help="The project.  [default: GOOGLE_CLOUD_PROJECT, or the credentials' own]"
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="REGION", help="The region, such as europe-west1.  [default: GOOGLE_CLOUD_REGION]"
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint", metavar="URL", help="Where the Cloud Run Admin API is, when not at Google.", hidden=True
    ),
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
