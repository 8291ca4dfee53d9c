"""What `heliostat gcp doctor` looks at, in an order in which each check can rely on those before it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from heliostat_gcp.admin_api import environment
from heliostat_gcp.deploy.calling import Caller, ask_worker
from heliostat_gcp.deploy.cloud_run import Job, Service, trouble_of
from heliostat_gcp.deploy.deployment import Names
from heliostat_gcp.deploy.findings import Failed, Finding, check
from heliostat_gcp.deploy.google import Connection, Google
from heliostat_gcp.deploy.grants import held, member
from heliostat_gcp.deploy.project import look_at_project
from heliostat_gcp.deploy.storing import check_bucket, check_lifecycle

if TYPE_CHECKING:
    from google.cloud import run_v2


def examine(connection: Connection, name: str, wanted: int | None, impersonate: str | None) -> Iterator[Finding]:
    """One finding after the other; it ends early when the rest would fail for the same reason."""
    opened: list[Google] = []
    try:
        yield (finding := check("credentials, project, region", partial(_open, connection, opened)))
        if finding.verdict == "failed":
            return
        examination = _Examination(opened[0], name, wanted, impersonate)
        yield check("APIs", partial(_apis, opened[0]), privileged=True)
        yield from examination.of_service()
        yield from examination.of_job()
        yield from examination.of_bucket()
    finally:
        for google in opened:
            google.close()


def _open(connection: Connection, opened: list[Google]) -> str:
    from heliostat_gcp.session import credentials_for

    google = Google(connection)
    opened.append(google)
    credentials = credentials_for(None)
    who = getattr(credentials, "service_account_email", None) or "a person's, or others without a name"
    return f"found ({who}), in {google.place.region} of {google.place.project}"


def _apis(google: Google) -> str:
    project = look_at_project(google)
    if project.missing:
        raise Failed(f"{' and '.join(project.missing)} are switched off; {project.remedy}")
    return "all switched on that are needed"


class _Examination:
    def __init__(self, google: Google, name: str, wanted: int | None, impersonate: str | None) -> None:
        self._google = google
        self._name = name
        self._wanted = wanted
        self._impersonate = impersonate
        self._again = self._deploy()
        self._bucket: str | None = None
        """Its URL, which the service says, or else the job."""

    def _deploy(self, *options: str) -> str:
        return f"run `{' '.join(['heliostat gcp deploy --name', self._name, *options])}`"

    # --- the service -------------------------------------------------------------------------------------------------

    def of_service(self) -> Iterator[Finding]:
        found: list[run_v2.Service] = []
        resource = Service(self._google, self._name)
        yield (finding := check("service", lambda: self._ready(resource, found)))
        if not found:
            return
        service = found[0]
        variables = environment(service.template.containers[0])
        self._bucket = variables.get("HELIOSTAT_ARTIFACTS")
        yield check("settings", lambda: self._settings(service, variables))
        yield check("access", lambda: self._access(service))
        audience = variables.get("HELIOSTAT_AUDIENCE") or service.uri
        caller = Caller(audience, self._impersonate, Names(self._name, self._google.place, "").coordinator)
        yield (token := check("ID token", lambda: f"can be made for {caller.email()}, for {audience}"))
        if token.verdict == "ok":
            who = check("caller", lambda: self._caller(resource, caller.email(), variables), privileged=True)
            yield who
            if finding.verdict == "ok" and who.verdict != "failed":
                yield check("worker", lambda: ask_worker(service.uri, caller))
        if self._wanted is not None:
            yield check("concurrency", lambda: self._concurrency(service))

    def _ready(self, resource: Service | Job, found: list[Any]) -> str:
        message = resource.get()
        if message is None:
            raise Failed(
                f"there is no {resource.kind} {self._name!r} in {self._google.place.region} of"
                f" {self._google.place.project}; {self._again}, or choose another --name, --project or --region"
            )
        if resource.template(message).containers:
            found.append(message)
        if message.reconciling:
            raise Failed(f"{self._name} is being changed right now; wait until that is over")
        if trouble := trouble_of(message):
            raise Failed(f"{self._name} is not ready ({trouble}); mend that, then {self._again}")
        return f"{self._name} is ready"

    def _settings(self, service: run_v2.Service, variables: dict[str, str]) -> str:
        """What the adapter and the worker rely on."""
        slots = variables.get("HELIOSTAT_SLOTS", "1")
        at_once = service.template.max_instance_request_concurrency
        audience = variables.get("HELIOSTAT_AUDIENCE", "")
        wrong = [
            f"{name} is not set"
            for name in ("HELIOSTAT_ARTIFACTS", "HELIOSTAT_AUDIENCE", "HELIOSTAT_CALLERS")
            if not variables.get(name)
        ]
        if audience and audience not in service.custom_audiences:
            wrong.append(f"HELIOSTAT_AUDIENCE, {audience}, is none of the service's custom audiences")
        if str(at_once) != slots:
            wrong.append(f"an instance gets {at_once} requests at once, and the worker has {slots} slots")
        if any(target.percent != 100 or target.revision for target in service.traffic):
            wrong.append("not all requests go to the newest revision")
        if wrong:
            raise Failed(f"{'; '.join(wrong)}; {self._again}")
        seconds = service.template.timeout.total_seconds()
        return f"as they should be, with {seconds:.0f} s for a chunk and one at a time in an instance"

    def _access(self, service: run_v2.Service) -> str:
        wrong = []
        if service.ingress.name != "INGRESS_TRAFFIC_ALL":
            wrong.append(f"requests from elsewhere are not let in ({service.ingress.name})")
        if service.invoker_iam_disabled:
            wrong.append("Cloud Run lets everybody in")
        if service.default_uri_disabled:
            wrong.append("the service's address is switched off")
        if wrong:
            raise Failed(f"{'; '.join(wrong)}; {self._again}")
        return "from everywhere, for those who may"

    def _caller(self, resource: Service, email: str, variables: dict[str, str]) -> str:
        remedy = f"{self._deploy('--caller', email)}, with all other callers"
        if email not in variables.get("HELIOSTAT_CALLERS", "").split(","):
            raise Failed(f"{email} is none of those in HELIOSTAT_CALLERS; {remedy}")
        invokers = held(resource.policy(), "roles/run.invoker")
        if public := invokers & {"allUsers", "allAuthenticatedUsers"}:
            raise Failed(f"{min(public)} may call the service; {self._again}")
        if member(email) not in invokers:
            raise Failed(f"{email} has not the role roles/run.invoker on the service; {remedy}")
        return f"{email} may run chunks"

    def _concurrency(self, service: run_v2.Service) -> str:
        assert self._wanted is not None
        template = service.template
        available = template.scaling.max_instance_count * (template.max_instance_request_concurrency or 1)
        if available and self._wanted > available:
            raise Failed(
                f"{self._wanted} chunks at once are wanted, and the service runs {available}; render with --concurrency"
                f" {available}, or {self._deploy(f'--parameter MaxInstances={self._wanted}')}"
            )
        return f"up to {available or 'any number of'} chunks at once, as far as the region's quotas go"

    # --- the job and the bucket --------------------------------------------------------------------------------------

    def of_job(self) -> Iterator[Finding]:
        found: list[run_v2.Job] = []
        yield check("job", lambda: self._ready(Job(self._google, self._name), found))
        if not found:
            return
        job = found[0]
        artifacts = environment(job.template.template.containers[0]).get("HELIOSTAT_ARTIFACTS")
        yield check("job's settings", lambda: self._job_settings(job, artifacts))
        self._bucket = self._bucket or artifacts

    def _job_settings(self, job: run_v2.Job, artifacts: str | None) -> str:
        wrong = []
        if retries := job.template.template.max_retries:
            wrong.append(f"Cloud Run tries a task up to {retries} times again, which would run chunks twice")
        if not artifacts:
            wrong.append("HELIOSTAT_ARTIFACTS is not set")
        elif self._bucket and artifacts != self._bucket:
            wrong.append(f"it has {artifacts} for artifacts, and the service {self._bucket}")
        if wrong:
            raise Failed(f"{'; '.join(wrong)}; {self._again}")
        most = job.template.parallelism
        if self._wanted is not None and most and self._wanted > most:
            raise Failed(
                f"{self._wanted} chunks at once are wanted, and an execution runs {most} tasks at once; render with"
                f" --concurrency {most}, or {self._deploy('--parameter Parallelism=0')}"
            )
        seconds = job.template.template.timeout.total_seconds()
        return f"as they should be, with {seconds:.0f} s for a chunk, and no tries by Cloud Run itself"

    def of_bucket(self) -> Iterator[Finding]:
        if self._bucket is None:
            return
        url = self._bucket
        yield (finding := check("bucket", lambda: check_bucket(url)))
        if finding.verdict == "ok":
            yield check("lifecycle", lambda: check_lifecycle(self._google, url, self._again), privileged=True)
