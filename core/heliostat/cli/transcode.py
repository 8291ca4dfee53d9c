"""`heliostat transcode`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from heliostat.cli import exit_status
from heliostat.cli.option_groups import expand_groups
from heliostat.cli.options import Database, Debug, Display, Limits, Only, Worker
from heliostat.cli.render import NewId

EPILOG = """\b
Examples:
  heliostat transcode holiday.mov -o holiday.mp4
  heliostat transcode talk.mp4 -o small.mp4 --video-args "-c:v libx264 -crf 28 -preset slow"
  heliostat transcode film.mkv -o film.webm --chunk-seconds 30 --concurrency 4

\b
The sound is carried over once, as it is. Until the film is made, its chunks lie in .heliostat-<film>/ beside it.
Ctrl-C pauses: running chunks finish first. Ctrl-C again stops at once.
Exit status: 0 done, 1 failed, 2 wrong input, 3 cancelled, 4 paused.
"""


@expand_groups
def command(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="The video file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The film: .mp4, .mkv, .mov, .webm, …")
    ],
    worker: Worker,
    limits: Limits,
    display: Display,
    chunk_seconds: Annotated[
        float, typer.Option("--chunk-seconds", metavar="SECONDS", help="How much of the film one chunk is, about.")
    ] = 10.0,
    video_args: Annotated[
        str | None,
        typer.Option(
            "--video-args",
            metavar="ARGS",
            help="ffmpeg's output options for the picture.  [default: -c:v libx264 -crf 20 -preset medium; VP9 for"
            " .webm]",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, metavar="N", help="Threads of each ffmpeg.  [default: ffmpeg's choice]"),
    ] = None,
    job_dir: Annotated[
        Path | None,
        typer.Option(
            "--job-dir", metavar="DIR", help="The directory for film, chunks and logs.  [default: the film's folder]"
        ),
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode the whole input while planning: for files that may be damaged.")
    ] = False,
    keep_chunks: Annotated[
        bool, typer.Option("--keep-chunks", help="Leave the encoded chunks where they are once the film is made.")
    ] = False,
    only: Only = None,
    db: Database = None,
    id: NewId = None,
    debug: Debug = False,
) -> None:
    """Encode a video file anew, in parallel chunks.

    The film has the same frames at the same times as the input, and its sound.
    """
    from msgspec.structs import replace

    from heliostat.cli.plugin_use import choose_worker, warn_of_plugins
    from heliostat.cli.run_options import new_options, sinks
    from heliostat.cli.running import run_new
    from heliostat.planning.video import plan_transcode

    warn_of_plugins()
    folder = (job_dir or output.absolute().parent).absolute()
    options = new_options(limits, only, folder)
    choice = choose_worker(worker.worker, worker.worker_settings)
    observers = sinks(display, folder)
    spec = plan_transcode(
        source,
        output,
        chunk_seconds=chunk_seconds,
        video_args=video_args,
        threads=threads,
        job_dir=folder,
        decode=decode,
    )
    if id is not None:
        spec = replace(spec, id=id)
    ended = run_new(spec, options, choice, db=db, sinks=observers, announce=display.speaks)
    if ended == exit_status.DONE and options.merge and only is None and not keep_chunks:
        # Not before the job is known to be completed: until then a resume would have to render them again.
        shutil.rmtree((folder / spec.chunks[0].output_file).parent, ignore_errors=True)
    raise typer.Exit(ended)
