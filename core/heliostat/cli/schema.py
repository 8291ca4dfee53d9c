"""`heliostat schema`."""

from __future__ import annotations

import typer

EPILOG = """\b
Example, for an editor that understands YAML schemas:
  heliostat schema > heliostat.schema.json
"""


def command() -> None:
    """Print the JSON Schema of job files.

    One schema for both forms: the short one (frames and one command), and the long one (every chunk listed).
    """
    import json

    from heliostat.planning.schema import job_schema

    typer.echo(json.dumps(job_schema(), indent=2, ensure_ascii=False))
