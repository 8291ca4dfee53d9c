"""AWS as moto has it, with the gaps of its CloudFormation closed, and `heliostat aws …` run against it."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.loaders import JSONFileLoader
from moto import mock_aws
from moto.cloudformation.models import CloudFormationBackend, Event, Stack, cloudformation_backends

from heliostat import plugins
from heliostat.cli.main import run

REGION = "eu-west-1"
ACCOUNT = "123456789012"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/heliostat-worker:0.1.0"


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Heliostat = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials that are worth nothing, and no others."""
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "HELIOSTAT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    plugins.registry.cache_clear()
    yield
    plugins.registry.cache_clear()


_parsed: dict[str, Any] = {}


@pytest.fixture(autouse=True, scope="module")
def parse_once() -> Iterator[None]:
    """Every command makes sessions of its own, each of which parses the descriptions of services; once is enough."""
    load = JSONFileLoader.load_file

    def load_once(loader: JSONFileLoader, file_path: str) -> Any:
        if file_path not in _parsed:
            _parsed[file_path] = load(loader, file_path)
        return _parsed[file_path]

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(JSONFileLoader, "load_file", load_once)
        yield


def close_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a change set does on AWS and not in moto: outputs and parameters are brought up to date, and every resource
    has its events."""
    execute = CloudFormationBackend.execute_change_set

    def execute_in_full(backend: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Tried to parse")  # kinds of resources that moto has not
            execute(backend, change_set_name, stack_name)
        change_set = backend.change_sets[change_set_name]
        stack = change_set.stack
        stack._parse_template()
        stack.parameters = change_set.parameters
        stack.output_map = stack._create_output_map()
        verb = change_set.change_set_type
        for number, name in enumerate(change_set.template_dict["Resources"], start=1):
            kind = change_set.template_dict["Resources"][name]["Type"]
            stack.events.insert(-1, resource_event(stack, name, kind, f"{verb}_IN_PROGRESS"))
            stack.events.insert(-1, resource_event(stack, name, kind, f"{verb}_COMPLETE", number=number))

    monkeypatch.setattr(CloudFormationBackend, "execute_change_set", execute_in_full)


def resource_event(
    stack: Stack, name: str, kind: str, status: str, reason: str | None = None, number: int = 0
) -> Event:
    return Event(
        stack_id=stack.stack_id,
        stack_name=stack.name,
        logical_resource_id=name,
        physical_resource_id=f"{name}-{number}",
        resource_type=kind,
        resource_status=status,
        resource_status_reason=reason,
        resource_properties=None,
    )


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS, empty. Its functions answer with what they were sent."""
    close_gaps(monkeypatch)
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield


@pytest.fixture
def stacks(aws: None) -> dict[str, Stack]:
    """moto's own records, by name."""

    class ByName(dict[str, Stack]):
        def __missing__(self, name: str) -> Stack:
            backend = cloudformation_backends[ACCOUNT][REGION]
            (found,) = [stack for stack in backend.stacks.values() if stack.name == name]
            return found

    return ByName()


@pytest.fixture
def heliostat(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Heliostat:
    """`heliostat("status")` runs `heliostat aws status` in this process; `answer` is typed on a terminal."""

    def call(*args: object, answer: str | None = None) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["heliostat", "aws", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", StringIO() if answer is None else Terminal(answer))
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            run()
        out, err = capfd.readouterr()
        status = exit_.value.code
        assert isinstance(status, int)
        return Outcome(status, out, err)

    return call


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def deployed(aws: None, heliostat: Heliostat) -> dict[str, str]:
    """The stack `heliostat`; its outputs."""
    made = heliostat("deploy", "--image", IMAGE, "--yes")
    assert made.status == 0, made.err
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName="heliostat")["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    """Every call that boto3 makes from now on: service, operation, parameters."""
    made: list[tuple[str, str, dict[str, Any]]] = []
    call = BaseClient._make_api_call

    def record(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        made.append((client.meta.service_model.service_name, operation, parameters))
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", record)
    return made
