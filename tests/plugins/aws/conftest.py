"""AWS without an account: S3, SQS and CloudFormation of moto, and Lambda as a service that runs the real handler."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from fake_lambda import FakeLambda

BUCKET = "films"


@dataclass
class Cloud:
    """What is deployed."""

    functions: FakeLambda
    endpoint_url: str

    artifacts = f"s3://{BUCKET}/studio"


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def session_cloud(moto_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    scripts = str(Path(sys.executable).parent)
    environment = {
        "PATH": os.pathsep.join([scripts, os.environ["PATH"]]),
        "AWS_ENDPOINT_URL": moto_endpoint,
        "HELIOSTAT_ARTIFACTS": f"s3://{BUCKET}",
    }
    with FakeLambda(
        "heliostat_aws.handler.handle",
        environment=environment,
        task_root=tmp_path_factory.mktemp("task"),
        timeout=150.0,
        retries=0,
    ) as functions:
        yield Cloud(functions, moto_endpoint)


@pytest.fixture
def cloud(session_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """What a coordinator finds in its environment; processes that it starts find it too."""
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": session_cloud.endpoint_url,
        "AWS_ENDPOINT_URL_LAMBDA": session_cloud.functions.endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield session_cloud
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        if found := page.get("Contents"):
            client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": each["Key"]} for each in found]})
    client.close()
