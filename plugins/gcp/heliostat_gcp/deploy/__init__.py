"""The commands `heliostat gcp …`: bring the worker to Google Cloud, look after it, take it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

__all__ = ["make_app"]


def make_app() -> typer.Typer:
    """The command group. Google's libraries are imported when one of its commands runs."""
    import typer

    from heliostat_gcp.deploy import deploy, destroy, doctor, policy, status

    shared: Any = {"context_settings": {"help_option_names": ["--help", "-h"]}}
    app = typer.Typer(
        help="Bring Heliostat's worker to Google Cloud, and look after it.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        **shared,
    )
    for module in (deploy, status, destroy, policy, doctor):
        app.command(module.__name__.rpartition(".")[2], **shared)(module.command)
    return app
