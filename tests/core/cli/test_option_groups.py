"""Parameters that are groups of options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from heliostat.cli.option_groups import expand_groups


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option("--width", "-w", help="Pixels.")] = 640
    tags: Annotated[list[str], typer.Option("--tag")] = field(default_factory=list)


@expand_groups
def draw(name: str, size: Size, loud: bool = False) -> None:
    """Draws."""
    typer.echo(f"{name} {size.width} {size.tags} {loud}")


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["sun"], "sun 640 [] False"),
        (["sun", "-w", "3", "--tag", "a", "--tag", "b", "--loud"], "sun 3 ['a', 'b'] True"),
    ],
)
def test_each_field_is_an_option_and_the_command_gets_the_group(arguments: list[str], printed: str) -> None:
    app = typer.Typer()
    app.command()(draw)
    done = CliRunner().invoke(app, arguments)
    assert done.output == printed + "\n"


def test_the_docstring_stays_for_the_help() -> None:
    assert draw.__doc__ == "Draws."
