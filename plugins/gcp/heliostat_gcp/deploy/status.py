"""`heliostat gcp status`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import typer

from heliostat_gcp.deploy import options

if TYPE_CHECKING:
    from heliostat_gcp.deploy.accounts import ServiceAccount
    from heliostat_gcp.deploy.bucket import Bucket
    from heliostat_gcp.deploy.cloud_run import Job, Service
    from heliostat_gcp.deploy.deployment import Deployment

MOST_COUNTED: Final = 1000
"""Objects that one request lists."""
MOST_EXECUTIONS: Final = 100
"""How many of the newest executions are looked at for those that run."""


def command(
    name: options.Name = options.DEFAULT_NAME,
    as_json: options.AsJson = False,
    project: options.Project = None,
    region: options.Region = None,
    endpoint: options.Endpoint = None,
) -> None:
    """Show the service, the job, what runs on it, the bucket and the accounts."""
    import json

    from heliostat_gcp.deploy.deployment import Deployment
    from heliostat_gcp.deploy.google import Connection, google_for
    from heliostat_gcp.deploy.project import get_project

    connection = Connection(project=project, region=region, endpoint=endpoint)
    with google_for(f"deployment {name}", connection) as google:
        deployment = Deployment(google, name, get_project(google), {})
        report = _report(deployment)
    if as_json:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        _print(report)


def _report(deployment: Deployment) -> dict[str, Any]:
    """None stands for what is not there. Raises Misconfigured when nothing is."""
    parts = {
        "service": _asked(lambda: _service(deployment.service)),
        "job": _asked(lambda: _job(deployment.job)),
        "executions": _asked(lambda: _executions(deployment.job)),
        "bucket": _asked(lambda: _bucket(deployment.bucket)),
        "worker": _asked(lambda: _account(deployment.worker)),
        "coordinator": _asked(lambda: _account(deployment.coordinator)),
    }
    if not any(part for name, part in parts.items() if name != "executions"):
        deployment.find()
    place = deployment.place
    return {"deployment": {"name": deployment.name, "project": place.project, "region": place.region}, **parts}


def _asked(ask: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
    """A part that cannot be had does not hold back the others."""
    from heliostat.errors import HeliostatError
    from heliostat_gcp.deploy.google import refusals

    try:
        with refusals("asking"):
            return ask()
    except HeliostatError as error:
        return {"problem": str(error).removeprefix("asking: ")}


def _service(resource: Service) -> dict[str, Any] | None:
    if (service := resource.get()) is None:
        return None
    template = service.template
    return {
        **_state(service),
        "revision": service.latest_ready_revision.rpartition("/")[2] or None,
        "url": service.uri or None,
        **_container(template.containers),
        "timeoutSeconds": int(template.timeout.total_seconds()),
        "maxInstances": template.scaling.max_instance_count,
        "chunksPerInstance": template.max_instance_request_concurrency,
    }


def _job(resource: Job) -> dict[str, Any] | None:
    if (job := resource.get()) is None:
        return None
    template = job.template.template
    return {
        **_state(job),
        **_container(template.containers),
        "timeoutSeconds": int(template.timeout.total_seconds()),
        "parallelism": job.template.parallelism,
    }


def _state(message: Any) -> dict[str, Any]:
    from heliostat_gcp.deploy.cloud_run import trouble_of

    reason = trouble_of(message)
    state = "changing" if message.reconciling else "not ready" if reason else "ready"
    return {"state": state, "reason": reason or None}


def _container(containers: Any) -> dict[str, Any]:
    from heliostat_gcp.admin_api import size_of

    if not containers:
        return {"image": None, "cpus": None, "memoryMb": None}
    size = size_of(containers[0])
    return {"image": containers[0].image, "cpus": size.cpus, "memoryMb": size.memory_mb}


def _executions(resource: Job) -> dict[str, Any]:
    if resource.get() is None:
        return {"running": []}
    return {
        "running": [
            {
                "name": execution.name.rpartition("/")[2],
                "tasks": execution.task_count,
                "running": execution.running_count,
                "succeeded": execution.succeeded_count,
                "failed": execution.failed_count,
            }
            for execution in resource.running(MOST_EXECUTIONS)
        ]
    }


def _bucket(resource: Bucket) -> dict[str, Any] | None:
    if resource.find() is None:
        return None
    counted = resource.count(MOST_COUNTED + 1)
    return {"name": resource.bucket, "objects": min(counted, MOST_COUNTED), "more": counted > MOST_COUNTED}


def _account(resource: ServiceAccount) -> dict[str, Any] | None:
    if (found := resource.find()) is None:
        return None
    return {"email": resource.name, "state": "switched off" if found.trouble else "ready"}


def _print(report: dict[str, Any]) -> None:
    from heliostat_gcp.deploy.tables import print_table

    place = report["deployment"]
    rows = [("deployment", f"{place['name']} in {place['region']} of {place['project']}")]
    for name, describe in (
        ("service", _service_line),
        ("job", _job_line),
        ("executions", _executions_line),
        ("bucket", _bucket_line),
        ("worker", _account_line),
        ("coordinator", _account_line),
    ):
        part = report[name]
        if part is None:
            rows.append((name, "missing; deploy again"))
        else:
            rows.append((name, f"unknown: {part['problem']}" if "problem" in part else describe(part)))
    print_table(rows)


def _service_line(part: dict[str, Any]) -> str:
    where = f"revision {part['revision'] or '?'} at {part['url'] or '?'}"
    limits = f"{_size(part)}, {part['timeoutSeconds']} s, up to {part['maxInstances'] or '?'} instances"
    return "; ".join([_state_text(part), where, limits, f"image {part['image'] or '?'}"])


def _job_line(part: dict[str, Any]) -> str:
    limits = f"{_size(part)}, {part['timeoutSeconds']} s, {part['parallelism'] or 'any number of'} tasks at once"
    return "; ".join([_state_text(part), limits, f"image {part['image'] or '?'}"])


def _state_text(part: dict[str, Any]) -> str:
    return f"{part['state']} ({part['reason']})" if part["reason"] else str(part["state"])


def _size(part: dict[str, Any]) -> str:
    return "?" if part["cpus"] is None else f"{part['cpus']:g} CPUs, {part['memoryMb']} MB"


def _executions_line(part: dict[str, Any]) -> str:
    running = [f"{each['name']} ({each['running']} of {each['tasks']} tasks)" for each in part["running"]]
    return f"{len(running)} running{': ' if running else ''}{', '.join(running)}"


def _bucket_line(part: dict[str, Any]) -> str:
    return f"gs://{part['name']}: {'more than ' if part['more'] else ''}{part['objects']} objects"


def _account_line(part: dict[str, Any]) -> str:
    return f"{part['email']}: {part['state']}"
