"""Arguments and options that commands have in common, with their help."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated

import typer

from heliostat.cli.completion import complete_job_id, complete_sink, complete_worker
from heliostat.cli.faults import enable_debug


class Progress(str, Enum):  # noqa: UP042  typer takes the names of a StrEnum's members for its values in older versions
    """How progress is shown."""

    auto = "auto"
    bar = "bar"
    lines = "lines"
    json = "json"
    none = "none"


JobId = Annotated[
    str,
    typer.Argument(metavar="JOB", help="The job's id, or the beginning of it.", autocompletion=complete_job_id),
]
JobIds = Annotated[
    list[str],
    typer.Argument(metavar="JOB", help="Ids of jobs, or their beginnings.", autocompletion=complete_job_id),
]
JobFile = Annotated[
    str,
    typer.Argument(metavar="JOB", help="The job: a .toml, .yaml or .json file, or its http(s) address."),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL|PATH",
        envvar="HELIOSTAT_DB",
        help="Where jobs are kept: the path of an SQLite file, or a URL such as sqlite:///path, postgresql://… or"
        " memory:  [default: heliostat.db in the user's data directory]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[
    bool,
    typer.Option("--debug", help="Print a traceback with an error.", callback=enable_debug, is_eager=True),
]


Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="CHUNK,...",
        help="Run these chunks alone, by their ids; a later resume runs the others. May be repeated.",
    ),
]


@dataclass(frozen=True)
class Worker:
    """Who runs the chunks of a new job."""

    worker: Annotated[
        str,
        typer.Option(
            "--worker",
            metavar="NAME",
            help="The worker adapter that runs the chunks; `heliostat plugins` lists them.",
            autocompletion=complete_worker,
        ),
    ] = "local"
    worker_settings: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the worker adapter; may be repeated."),
    ] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """How a job is run; kept with it. What is None stays as it is, for a new job as `JobSettings` has it."""

    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", "-n", min=1, metavar="N", help="Chunks at once.  [default: the worker adapter's]"
        ),
    ] = None
    retries: Annotated[
        int | None,
        typer.Option(
            "--retries",
            min=0,
            metavar="N",
            help="Further attempts at a chunk after the first one failed.  [default: 2]",
        ),
    ] = None
    retry_delay: Annotated[
        float | None,
        typer.Option(
            "--retry-delay",
            metavar="SECONDS",
            help="The longest wait before a chunk's first retry; it doubles with each further one, up to 60."
            "  [default: 1]",
        ),
    ] = None
    chunk_timeout: Annotated[
        float | None,
        typer.Option("--chunk-timeout", metavar="SECONDS", help="How long one attempt may take.  [default: no limit]"),
    ] = None
    stall_timeout: Annotated[
        float | None,
        typer.Option(
            "--stall-timeout",
            metavar="SECONDS",
            help="How long an attempt may go without finishing a frame.  [default: no limit]",
        ),
    ] = None
    keep_going: Annotated[
        bool | None,
        typer.Option(
            "--keep-going/--fail-fast",
            "-k",
            help="When a chunk is given up, render the others before failing, or stop at once.  [default: --fail-fast]",
            show_default=False,
        ),
    ] = None
    merge: Annotated[
        bool | None,
        typer.Option(
            "--merge/--no-merge",
            help="Join the chunks into the film, or leave them as they are.  [default: --merge]",
            show_default=False,
        ),
    ] = None
    env: Annotated[
        list[str],
        typer.Option(
            "--env",
            "-e",
            metavar="NAME[=VALUE]",
            help="An environment variable for every command; without a value, the one that it has here. May be"
            " repeated.",
        ),
    ] = field(default_factory=list)


@dataclass(frozen=True)
class Display:
    """Who is told of progress."""

    progress: Annotated[
        Progress,
        typer.Option(
            "--progress",
            help="bar: a live display; lines: a line every few seconds; json: one JSON object per event on stdout, and"
            " nothing else there; auto: bar on a terminal, else lines.",
        ),
    ] = Progress.auto
    sinks: Annotated[
        list[str],
        typer.Option(
            "--sink",
            metavar="NAME",
            help="A further progress sink, such as webhook; may be repeated. `heliostat plugins` lists them.",
            autocompletion=complete_sink,
        ),
    ] = field(default_factory=list)
    sink_settings: Annotated[
        list[str],
        typer.Option(
            "--sink-set",
            metavar="NAME.KEY=VALUE",
            help="An option of a sink, such as webhook.url=https://…; may be repeated.",
        ),
    ] = field(default_factory=list)

    @property
    def speaks(self) -> bool:
        """Whether a person reads along."""
        return self.progress not in (Progress.json, Progress.none)
