"""The template says what is to be made, in the words of Google's APIs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.cloud import run_v2
from google.protobuf import json_format

import heliostat_gcp
from heliostat.errors import HeliostatError, Misconfigured
from heliostat_gcp.deploy.bucket import KNOWN
from heliostat_gcp.deploy.cloud_run import to_message
from heliostat_gcp.deploy.template import declared, default_parameters, parse_template, typed

REPOSITORY = Path(__file__).parents[4]
TEMPLATE = Path(heliostat_gcp.__file__).with_name("template.yaml")


def filled(**parameters: str) -> dict[str, Any]:
    """Properties by resource."""
    values = {
        **typed({"ImageUri": "worker:1", **default_parameters(), **parameters}),
        "Name": "farm",
        "Region": "europe-west1",
        "Bucket": "farm-1-europe-west1",
        "Audience": "https://farm",
        "WorkerAccount": "w@x",
        "CoordinatorAccount": "c@x",
        "Coordinators": "c@x,ann@x",
        "Parameters": {"heliostat-Cpus": "2"},
    }
    return {name: resource.properties for name, resource in declared(values).items()}


def test_infra_links_to_the_template_that_is_shipped() -> None:
    link = REPOSITORY / "infra/gcp/template.yaml"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == REPOSITORY / "plugins/gcp/heliostat_gcp/template.yaml" == TEMPLATE


@pytest.mark.parametrize(("resource", "message"), [("Service", run_v2.Service), ("Job", run_v2.Job)])
def test_service_and_job_are_messages_of_cloud_run_and_nothing_else(resource: str, message: Any) -> None:
    properties = filled()[resource]
    parsed = json_format.ParseDict(properties, message.pb(message()))
    assert json_format.MessageToDict(parsed)["labels"] == {"heliostat": "farm"}
    assert to_message(resource.lower(), properties) == message.wrap(parsed)


@pytest.mark.parametrize("kind", ["service", "job"])
def test_a_field_that_cloud_run_does_not_have_is_told_with_its_path(kind: str) -> None:
    properties = filled()[kind.title()]
    template = properties["template"].get("template", properties["template"])
    template["containers"][0]["memory"] = "1Gi"
    with pytest.raises(Misconfigured, match=r"no field named .?memory"):
        to_message(kind, properties)


def test_no_place_is_left_empty() -> None:
    assert "${" not in json.dumps(filled())


def test_parameters_and_their_defaults() -> None:
    defaults = {name: parameter.get("Default") for name, parameter in parse_template()["Parameters"].items()}
    assert defaults == {
        "ImageUri": None,
        "MemoryMb": 4096,
        "Cpus": "2",
        "TimeoutSeconds": 3600,
        "TaskTimeoutSeconds": 86400,
        "MaxInstances": 100,
        "Parallelism": 0,
        "ArtifactExpiryDays": 0,
        "BucketName": "",
        "Callers": "",
    }
    for parameter in parse_template()["Parameters"].values():
        assert parameter["Description"].endswith(".")


def test_every_parameter_is_of_use() -> None:
    text = json.dumps(parse_template()["Resources"])
    elsewhere = {"BucketName", "Callers"}  # of which names and members are made
    for name in set(parse_template()["Parameters"]) - elsewhere:
        assert f"${{{name}}}" in text, name


def test_adapters_and_workers_find_what_they_rely_on() -> None:
    service, job = filled()["Service"], filled()["Job"]
    variables = {each["name"]: each["value"] for each in service["template"]["containers"][0]["env"]}
    assert variables == {
        "HELIOSTAT_ARTIFACTS": "gs://farm-1-europe-west1",
        "HELIOSTAT_AUDIENCE": "https://farm",
        "HELIOSTAT_CALLERS": "c@x,ann@x",
        "HELIOSTAT_SLOTS": "1",
    }
    assert service["customAudiences"] == [variables["HELIOSTAT_AUDIENCE"]]
    assert str(service["template"]["maxInstanceRequestConcurrency"]) == variables["HELIOSTAT_SLOTS"]
    assert service["invokerIamDisabled"] is False
    assert (job["template"]["template"]["maxRetries"], job["template"]["parallelism"]) == (0, 0)


def test_all_of_a_bucket_can_be_set() -> None:
    assert set(filled()["Bucket"]) == KNOWN


def test_a_property_of_a_bucket_that_nobody_sets_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    from heliostat_gcp.deploy import bucket

    client = Client(project="studio", credentials=AnonymousCredentials())
    with pytest.raises(HeliostatError, match="properties of a bucket that nobody sets: versioning"):
        bucket._set(client.bucket("films"), {**filled()["Bucket"], "versioning": {"enabled": True}})


@pytest.mark.parametrize(("days", "rules"), [("0", 2), ("30", 3)])
def test_everything_expires_only_when_it_is_asked_for(days: str, rules: int) -> None:
    found = filled(ArtifactExpiryDays=days)["Bucket"]["lifecycle"]["rule"]
    assert len(found) == rules
    assert found[0] == {"action": {"type": "Delete"}, "condition": {"daysSinceCustomTime": 7}}
    assert found[1] == {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 2}}
    assert found[2:] == [{"action": {"type": "Delete"}, "condition": {"age": 30}}][: rules - 2]


def test_numbers_are_numbers_and_texts_texts() -> None:
    service = filled(MaxInstances="7", Cpus="4", TimeoutSeconds="60")["Service"]["template"]
    assert service["scaling"]["maxInstanceCount"] == 7
    assert service["timeout"] == "60s"
    assert service["containers"][0]["resources"]["limits"] == {"cpu": "4", "memory": "4096Mi"}
