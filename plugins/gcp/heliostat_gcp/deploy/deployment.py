"""All that one deployment is made of, as it is wanted and as it is found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from heliostat.errors import Misconfigured, SpecError
from heliostat_gcp.deploy.accounts import ServiceAccount
from heliostat_gcp.deploy.bucket import Bucket
from heliostat_gcp.deploy.cloud_run import Job, Service
from heliostat_gcp.deploy.comparison import differences
from heliostat_gcp.deploy.grants import Grants, changes, member
from heliostat_gcp.deploy.template import declared, default_parameters, of_annotations, to_annotations, typed

if TYPE_CHECKING:
    from heliostat_gcp.admin_api import Place
    from heliostat_gcp.deploy.google import Google
    from heliostat_gcp.deploy.project import Project
    from heliostat_gcp.deploy.resource import Found, Properties, Resource


class Names(Struct, frozen=True):
    """What the parts of a deployment are called."""

    name: str
    place: Place
    bucket: str

    @property
    def worker(self) -> str:
        return f"{self.name}-worker@{self._accounts}"

    @property
    def coordinator(self) -> str:
        return f"{self.name}-coordinator@{self._accounts}"

    @property
    def audience(self) -> str:
        """Whom ID tokens are made out for: a token for one deployment is of no use at another."""
        return f"https://heliostat/{self.place.project}/{self.place.region}/{self.name}"

    @property
    def _accounts(self) -> str:
        """Projects of a domain are called `example.com:film`, and their accounts' domain is turned round."""
        domain, _, project = self.place.project.rpartition(":")
        return f"{project}.{domain}.iam.gserviceaccount.com" if domain else f"{project}.iam.gserviceaccount.com"


class Part(Struct, frozen=True):
    """One resource."""

    resource: Resource
    wanted: Properties
    grants: Grants


class Step(Struct, frozen=True):
    """What is to be done about a part."""

    part: Part
    found: Found | None
    lines: tuple[str, ...]
    """What is different, for people."""
    fields: bool
    """Whether properties are."""
    grants: bool
    """Whether those who may are."""

    @property
    def action(self) -> str:
        return "add" if self.found is None else "change"


class Deployment:
    def __init__(self, google: Google, name: str, project: Project, given: Mapping[str, str]) -> None:
        """What is not given is as the service records it. Raises errors of Google's libraries."""
        self.google = google
        self.name = name
        self.place = google.place
        self.service = Service(google, name)
        self.job = Job(google, name)
        found = self.service.get()
        recorded = {} if found is None else of_annotations(found.annotations)
        self.parameters = {**default_parameters(), **recorded, **given}
        self.is_new = found is None
        bucket = self.parameters["BucketName"] or f"{name}-{project.number}-{google.place.region}"
        self.names = Names(name, google.place, bucket)
        callers = dict.fromkeys(self.parameters["Callers"].split(","))
        self.callers = [caller for caller in callers if caller not in ("", self.names.coordinator)]
        purpose = f"Heliostat {name} in {google.place.region}"
        self.worker = ServiceAccount(google, self.names.worker, purpose)
        self.coordinator = ServiceAccount(google, self.names.coordinator, purpose)
        self.bucket = Bucket(google, bucket, name, project.number)

    @property
    def resources(self) -> list[Resource]:
        """In the order in which they can be made."""
        return [self.worker, self.coordinator, self.bucket, self.service, self.job]

    @property
    def title(self) -> str:
        return f"Deployment {self.name} in {self.place.region} of {self.place.project}"

    def find(self) -> list[tuple[Resource, Found]]:
        """What is there of it. Raises Misconfigured when nothing is."""
        there = [(resource, found) for resource in self.resources if (found := resource.find()) and found.is_ours]
        if not there:
            raise Misconfigured(
                f"there is no deployment {self.name!r} in {self.place.region} of {self.place.project}; make it with"
                f" `heliostat gcp deploy --name {self.name} --image URI`, or choose another --name, --project or"
                " --region"
            )
        return there

    def parts(self) -> list[Part]:
        """Raises SpecError without an image."""
        if "ImageUri" not in self.parameters:
            raise SpecError(
                f"there is no service {self.name!r} in {self.place.region} of {self.place.project} yet, and a new one"
                " needs --image URI; infra/README.md in Heliostat's repository says how to build the worker image"
            )
        coordinators = [self.names.coordinator, *self.callers]
        values = {
            **typed(self.parameters),
            "Name": self.name,
            "Region": self.place.region,
            "Bucket": self.names.bucket,
            "WorkerAccount": self.names.worker,
            "CoordinatorAccount": self.names.coordinator,
            "Coordinators": ",".join(coordinators),
            "Audience": self.names.audience,
            "Parameters": to_annotations(self.parameters),
        }
        groups = {"worker": [self.names.worker], "coordinators": coordinators, "callers": self.callers}
        return [
            Part(
                resource,
                wanted.properties,
                {
                    grant.role: [member(email) for group in grant.to for email in groups[group]]
                    for grant in wanted.grants
                },
            )
            for resource, wanted in zip(self.resources, declared(values).values(), strict=True)
        ]

    def steps(self) -> list[Step]:
        """What is to be done; nothing is done. Raises Misconfigured when a name is taken, or somebody else is at it."""
        steps = []
        for part in self.parts():
            resource = part.resource
            found = resource.find()
            if found is None:
                lines = [change.line for change in changes({}, part.grants)]
                steps.append(Step(part, None, tuple(lines), True, bool(lines)))
                continue
            self._check_that_it_can_change(resource, found)
            fields = [difference.line for difference in differences(found.properties, part.wanted)]
            if found.trouble:
                fields.append(f"to be tried again: {found.trouble}")
            grants = [change.line for change in changes(resource.policy(), part.grants)] if part.grants else []
            if fields or grants:
                steps.append(Step(part, found, (*fields, *grants), bool(fields), bool(grants)))
        return steps

    def _check_that_it_can_change(self, resource: Resource, found: Found) -> None:
        if not found.is_ours:
            other = "--parameter BucketName=NAME" if resource is self.bucket else "--name NAME"
            raise Misconfigured(
                f"there is a {resource.kind} {resource.name} already, which this deployment has not made; choose"
                f" another name with {other}, or remove it"
            )
        if found.is_changing:
            raise Misconfigured(
                f"{resource.kind} {resource.name} is being changed already; wait until `heliostat gcp status --name"
                f" {self.name}` says that this is over"
            )
