"""The web page, made with NiceGUI. `install` puts it into the application of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui
from nicegui.client import templates

from heliostat.studio.page import job_list
from heliostat.studio.security.page_scripts import sign_page_scripts

if TYPE_CHECKING:
    from fastapi import FastAPI

    from heliostat.studio.studio import Studio


def install(app: FastAPI, studio: Studio) -> None:
    """Whatever `app` does not serve otherwise is a page from then on."""
    sign_page_scripts(templates.env)
    job_list.install(studio)
    ui.run_with(app, title="Heliostat Studio", dark=None, tailwind=False, show_welcome_message=False)
