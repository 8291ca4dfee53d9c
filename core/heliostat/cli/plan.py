"""`heliostat plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heliostat.cli.options import AsJson, Debug, JobFile

EPILOG = """\b
Examples:
  heliostat plan job.toml
  heliostat plan job.toml --json > long-form.json
"""


def command(
    job: JobFile,
    as_json: AsJson = False,
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="How many chunks the table shows at most.")
    ] = 50,
    job_dir: Annotated[
        Path | None,
        typer.Option(
            "--job-dir",
            metavar="DIR",
            help="The directory that outputs are relative to.  [default: the job file's folder]",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Print the chunks of a job without running it.

    With --json, the whole job in its long form, which `render` takes as well.
    """
    from heliostat.model.codec import to_json
    from heliostat.planning.load import load_spec

    spec = load_spec(job, job_dir=job_dir)
    if as_json:
        from msgspec.json import format as indent

        typer.echo(indent(to_json(spec), indent=2))
        return
    import shlex

    from heliostat.builtin.console.terminal import plain
    from heliostat.builtin.console.wording import count
    from heliostat.cli.printing import print_table
    from heliostat.model.command import split_command
    from heliostat.model.spec import fraction_to_json

    meta = spec.metadata
    size = f", {meta.width}x{meta.height}" if meta.width and meta.height else ""
    typer.echo(
        f"{plain(spec.name)}: {count(len(spec.chunks), 'chunk')}, {count(meta.total_frames, 'frame')} at"
        f" {fraction_to_json(meta.fps)} frames/s{size}"
    )
    rows = []
    for chunk in spec.chunks[:limit]:
        last = chunk.start_frame + (chunk.frame_count - 1) * chunk.step
        frames = f"{chunk.start_frame}-{last}" + (f":{chunk.step}" if chunk.step != 1 else "")
        command = shlex.join(split_command(chunk.command))
        rows.append((plain(str(chunk.id)), frames, f"{chunk.frame_count:,}", plain(chunk.output_file), plain(command)))
    if rows:
        print_table(("chunk", "frames", "count", "output", "command"), rows)
    if len(spec.chunks) > limit:
        typer.echo(f"and {count(len(spec.chunks) - limit, 'more chunk')}")
    if spec.merge is not None:
        typer.echo(f"joined by the stitcher {plain(spec.merge.stitcher)} into {plain(spec.merge.output)}")
    elif spec.merge_command is not None:
        typer.echo(f"joined by: {plain(spec.merge_command)}")
