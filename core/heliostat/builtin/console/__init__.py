"""The progress sinks `bar`, a live display, and `lines`, for logs. Both write on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from heliostat.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from heliostat.contracts.progress import ProgressSink


class LinesOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the sink `lines`."""

    interval: Annotated[float, Meta(ge=0)] = 5.0
    """Seconds between lines of progress, at least."""
    job_dir: str | None = None
    """The directory that the film's path is relative to, so that it can be told as seen from here."""


class BarOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the sink `bar`."""

    rows: Annotated[int, Meta(ge=0)] | None = None
    """Running chunks that get a row of their own, at most; as many as fit the terminal when None."""
    job_dir: str | None = None
    """The directory that the film's path is relative to, so that it can be told as seen from here."""


def make_lines(options: LinesOptions) -> ProgressSink:
    from heliostat.builtin.console.lines import LinesSink

    return LinesSink(interval=options.interval, job_dir=options.job_dir)


def make_bar(options: BarOptions) -> ProgressSink:
    """The live display, or plain lines where stderr is no terminal that could show one."""
    from heliostat.builtin.console.terminal import stderr_is_live

    if not stderr_is_live():
        return make_lines(LinesOptions(job_dir=options.job_dir))
    from heliostat.builtin.console.bar import BarSink

    return BarSink(rows=options.rows, job_dir=options.job_dir)


@hookimpl
def register_progress_sinks(register: Register) -> None:
    register("bar", make_bar, options=BarOptions, summary="A live display on the terminal.")
    register("lines", make_lines, options=LinesOptions, summary="A plain line every few seconds, for logs.")
