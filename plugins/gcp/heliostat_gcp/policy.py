"""The IAM roles that Heliostat on Google Cloud needs, each on its resource. Nothing is asked of Google for them.

Those of the worker and of coordinators are the template's own. Roles and their permissions are those of "IAM roles and
permissions index", https://cloud.google.com/iam/docs/roles-permissions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from heliostat_gcp.deploy.template import declared, default_parameters, typed

if TYPE_CHECKING:
    from heliostat_gcp.deploy.deployment import Names

IMAGE: Final = re.compile(
    r"(?P<region>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[a-z0-9.:-]+?)/(?P<repository>[a-z0-9-]+)/[^:@]+([:@].*)?"
)

DEPLOYER: Final = {
    "roles/run.admin": (
        "run.executions.cancel run.executions.list run.jobs.create run.jobs.delete run.jobs.get run.jobs.getIamPolicy"
        " run.jobs.setIamPolicy run.jobs.update run.operations.get run.services.create run.services.delete"
        " run.services.get run.services.getIamPolicy run.services.setIamPolicy run.services.update"
    ),
    "roles/iam.serviceAccountAdmin": (
        "iam.serviceAccounts.create iam.serviceAccounts.delete iam.serviceAccounts.enable iam.serviceAccounts.get"
        " iam.serviceAccounts.getIamPolicy iam.serviceAccounts.setIamPolicy iam.serviceAccounts.update"
    ),
    "roles/iam.serviceAccountUser": "iam.serviceAccounts.actAs",
    "roles/storage.admin": (
        "storage.buckets.create storage.buckets.delete storage.buckets.get storage.buckets.getIamPolicy"
        " storage.buckets.setIamPolicy storage.buckets.update storage.objects.create storage.objects.delete"
        " storage.objects.get storage.objects.list"
    ),
    "roles/serviceusage.serviceUsageViewer": "serviceusage.services.get",
}
"""On the project, since what is yet to be made can have no policy of its own; the permissions that are used."""

Grant = dict[str, Any]


def of_coordinator(names: Names) -> list[Grant]:
    """For whoever runs jobs."""
    return _of_template(names, "coordinators")


def of_worker(names: Names) -> list[Grant]:
    """Of the account that service and job have."""
    return _of_template(names, "worker")


def of_deployer(names: Names, image: str | None = None) -> list[Grant]:
    """For `heliostat gcp deploy`, `status`, `destroy` and `doctor`. Raises SpecError."""
    project = f"//cloudresourcemanager.googleapis.com/projects/{names.place.project}"
    grants = [_grant(project, role, permissions.split()) for role, permissions in DEPLOYER.items()]
    permissions = ["artifactregistry.repositories.downloadArtifacts"]
    return [*grants, _grant(_repository(names, image), "roles/artifactregistry.reader", permissions)]


def _of_template(names: Names, group: str) -> list[Grant]:
    values = {
        **typed({"ImageUri": "", **default_parameters()}),
        "Name": names.name,
        "Region": names.place.region,
        "Bucket": names.bucket,
        "WorkerAccount": names.worker,
        "CoordinatorAccount": names.coordinator,
        "Coordinators": names.coordinator,
        "Audience": names.audience,
        "Parameters": {},
    }
    return [
        _grant(_whole_name(resource.type, resource.name, names), grant.role, list(grant.permissions))
        for resource in declared(values).values()
        for grant in resource.grants
        if group in grant.to
    ]


def _whole_name(kind: str, name: str, names: Names) -> str:
    """https://cloud.google.com/iam/docs/full-resource-names."""
    if kind == "Bucket":
        return f"//storage.googleapis.com/projects/_/buckets/{name}"
    return f"//run.googleapis.com/{names.place.parent}/{kind.lower()}s/{name}"


def _repository(names: Names, image: str | None) -> str:
    """Of the image, in Artifact Registry."""
    region, project, repository = names.place.region, names.place.project, "heliostat"
    if image is not None:
        from heliostat.errors import SpecError

        if (found := IMAGE.fullmatch(image)) is None:
            raise SpecError(
                f"{image!r} is no image in Artifact Registry; write REGION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG"
            )
        region, project, repository = found["region"], found["project"], found["repository"]
    return f"//artifactregistry.googleapis.com/projects/{project}/locations/{region}/repositories/{repository}"


def _grant(resource: str, role: str, permissions: list[str]) -> Grant:
    return {"resource": resource, "role": role, "permissions": permissions}
