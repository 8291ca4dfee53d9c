"""Data on stdout, in columns."""

from __future__ import annotations

from collections.abc import Sequence

import typer


def print_table(rows: Sequence[Sequence[str]], *, indent: str = "") -> None:
    """Columns that line up; nothing is cut off."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo(f"{indent}{'  '.join(cells)}".rstrip())
