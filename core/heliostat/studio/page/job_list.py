"""The list of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

if TYPE_CHECKING:
    from heliostat.studio.studio import Studio


def install(studio: Studio) -> None:
    @ui.page("/")
    async def jobs() -> None:
        ui.label(f"Coordinator: {studio.coordinator.status.state}")
        for job in await studio.manager.list(limit=100):
            ui.label(f"{job.id} {job.spec.name} {job.state} {job.progress} %")
