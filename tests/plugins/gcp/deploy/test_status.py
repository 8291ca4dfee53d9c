"""`heliostat gcp status` tells what is there, and does without what Google does not tell."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fake_cloud_run.resources import RunningExecution
from google.cloud import run_v2
from google.protobuf.timestamp_pb2 import Timestamp

from heliostat_gcp.deploy import status

from .conftest import BUCKET, COORDINATOR, IMAGE, PLACE, WORKER, Google, Heliostat


def add_execution(google: Google, short: str, **fields: Any) -> None:
    name = f"{PLACE}/jobs/heliostat/executions/{short}"
    google.run.resources.executions[name] = RunningExecution(run_v2.Execution(name=name, **fields), [], {})


def test_json_has_all_of_it(deployed: Google, heliostat: Heliostat, gcs: Any) -> None:
    gcs.bucket(BUCKET).blob("jobs/j1/film.mp4").upload_from_string(b"film")
    add_execution(deployed, "heliostat-done", task_count=2, completion_time=Timestamp(seconds=1))
    add_execution(deployed, "heliostat-runs", task_count=9, running_count=4, succeeded_count=3, failed_count=1)
    told = heliostat("status", "--json")
    assert (told.status, told.err) == (0, "")
    size = {"image": IMAGE, "cpus": 2.0, "memoryMb": 4096}
    assert told.json == {
        "deployment": {"name": "heliostat", "project": "studio", "region": "europe-west1"},
        "service": {
            "state": "ready",
            "reason": None,
            "revision": "heliostat-00001-abc",
            "url": deployed.service.uri,
            **size,
            "timeoutSeconds": 3600,
            "maxInstances": 100,
            "chunksPerInstance": 1,
        },
        "job": {"state": "ready", "reason": None, **size, "timeoutSeconds": 86400, "parallelism": 0},
        "executions": {"running": [{"name": "heliostat-runs", "tasks": 9, "running": 4, "succeeded": 3, "failed": 1}]},
        "bucket": {"name": BUCKET, "objects": 1, "more": False},
        "worker": {"email": WORKER, "state": "ready"},
        "coordinator": {"email": COORDINATOR, "state": "ready"},
    }


def test_people_read_a_line_of_each(deployed: Google, heliostat: Heliostat) -> None:
    add_execution(deployed, "heliostat-runs", task_count=9, running_count=4)
    deployed.project.accounts[COORDINATOR].resource["disabled"] = True
    told = heliostat("status")
    assert (told.status, told.err) == (0, "")
    size, image = "2 CPUs, 4096 MB", f"image {re.escape(IMAGE)}"
    for line in (
        r"deployment   heliostat in europe-west1 of studio",
        rf"service      ready; revision heliostat-00001-abc at \S+; {size}, 3600 s, up to 100 instances; {image}",
        rf"job          ready; {size}, 86400 s, any number of tasks at once; {image}",
        r"executions   1 running: heliostat-runs \(4 of 9 tasks\)",
        rf"bucket       gs://{BUCKET}: 0 objects",
        rf"worker       {WORKER}: ready",
        rf"coordinator  {COORDINATOR}: switched off",
    ):
        assert re.search(f"^{line}$", told.out, re.MULTILINE), line


def test_why_a_service_is_not_ready(deployed: Google, heliostat: Heliostat) -> None:
    deployed.run.admin.missing_images.add("gone")
    assert heliostat("deploy", "--image", "gone", "--yes").status == 1
    told = heliostat("status")
    assert "service      not ready (Image 'gone' not found); revision heliostat-00001-abc at" in told.out
    deployed.service.reconciling = True
    assert "service      changing (Image 'gone' not found)" in heliostat("status").out


def test_many_objects_are_not_counted_to_the_end(
    deployed: Google, heliostat: Heliostat, gcs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "MOST_COUNTED", 10)
    for number in range(11):
        gcs.bucket(BUCKET).blob(f"jobs/j1/{number}").upload_from_string(b"")
    assert "more than 10 objects" in heliostat("status").out


def test_a_part_that_cannot_be_had_does_not_hold_back_the_others(deployed: Google, heliostat: Heliostat) -> None:
    deployed.deny("run.executions.list", "storage.objects.list")
    told = heliostat("status")
    assert told.status == 0
    assert "executions   unknown: Permission 'run.executions.list' denied on resource" in told.out
    assert "bucket       unknown: Permission 'storage.objects.list' denied on resource" in told.out
    assert f"worker       {WORKER}: ready" in told.out


def test_what_is_missing_is_told(deployed: Google, heliostat: Heliostat) -> None:
    deployed.run.resources.jobs.pop(deployed.job.name)
    del deployed.project.accounts[WORKER]
    told = heliostat("status")
    assert told.status == 0
    assert "job          missing; deploy again\n" in told.out
    assert "executions   0 running\n" in told.out
    assert "worker       missing; deploy again\n" in told.out


@pytest.mark.parametrize("command", [("status",), ("destroy", "--yes")])
def test_nothing_is_there(command: tuple[str, ...], google: Google, heliostat: Heliostat) -> None:
    told = heliostat(*command, "--name", "nowhere")
    assert told.status == 1
    assert told.err == (
        "heliostat: error: there is no deployment 'nowhere' in europe-west1 of studio; make it with `heliostat gcp"
        " deploy --name nowhere --image URI`, or choose another --name, --project or --region\n"
    )
