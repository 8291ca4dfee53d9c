"""The project: its number, and which of the APIs that are needed are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from heliostat.errors import Misconfigured
from heliostat_gcp.deploy.google import refusals

if TYPE_CHECKING:
    from heliostat_gcp.deploy.google import Google

APIS: Final = ("iam.googleapis.com", "iamcredentials.googleapis.com", "run.googleapis.com", "storage.googleapis.com")
"""The third and the fourth run chunks and keep files; the first two make accounts and tokens of them."""


class Project(Struct, frozen=True):
    id: str
    number: str
    missing: tuple[str, ...]
    """APIs that are switched off."""

    @property
    def remedy(self) -> str:
        return f"switch them on with `gcloud services enable {' '.join(self.missing)} --project {self.id}`"


def look_at_project(google: Google) -> Project:
    """Asks the Service Usage API. Raises AttemptErrors."""
    parent = f"projects/{google.place.project}"
    with refusals(f"project {google.place.project}"):
        names = [f"{parent}/services/{api}" for api in APIS]
        told = google.rest("serviceusage").get(f"/v1/{parent}/services:batchGet", names=names)
    services: list[dict[str, Any]] = told.get("services", [])
    enabled = {service["name"].rpartition("/")[2] for service in services if service.get("state") == "ENABLED"}
    number = next((service["parent"].rpartition("/")[2] for service in services if service.get("parent")), "")
    return Project(google.place.project, number, tuple(api for api in APIS if api not in enabled))


def get_project(google: Google) -> Project:
    """One in which everything needed is switched on. Raises Misconfigured for another."""
    project = look_at_project(google)
    if project.missing:
        raise Misconfigured(
            f"project {project.id} has {' and '.join(project.missing)} switched off; {project.remedy}, and try again in"
            " a few minutes"
        )
    return project
