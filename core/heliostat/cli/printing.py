"""Data on stdout: as a table for people, as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence

import typer


def print_json(value: object) -> None:
    """Dicts, lists, strings and numbers."""
    import json

    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns that line up, also with characters that are two cells wide. Nothing is cut off: a terminal wraps, and
    another program wants it all."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
