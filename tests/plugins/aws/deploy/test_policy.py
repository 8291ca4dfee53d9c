"""`heliostat aws policy` prints rights that are enough, and no more than what is used."""

from __future__ import annotations

import ast
import json
import re
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name

import heliostat_aws

from .conftest import ACCOUNT, IMAGE, REGION, Heliostat

PACKAGE = Path(heliostat_aws.__file__).parent
ROLES = ("coordinator", "deployer", "worker")

ON_BOTH_SIDES = {"artifacts", "s3_errors", "s3_objects", "s3_upload", "s3_writes", "session"}
BY_COORDINATORS = {"adapter", "conversation", "replies"}
BY_WORKERS = {"handler", "reporting"}
WITHOUT_CALLS = {"__init__", "errors", "invocation", "keys", "lines", "options", "plugin", "policy"}

IN_IAM = {
    "lambda:Invoke": ["lambda:InvokeFunction"],
    "s3:HeadObject": ["s3:GetObject"],
    "s3:ListObjectsV2": ["s3:ListBucket"],
    "s3:ListObjectVersions": ["s3:ListBucketVersions"],
    "s3:DeleteObjects": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
    "s3:CreateMultipartUpload": ["s3:PutObject"],
    "s3:UploadPart": ["s3:PutObject"],
    "s3:CompleteMultipartUpload": ["s3:PutObject"],
    "sqs:DeleteMessageBatch": ["sqs:DeleteMessage"],
    "sqs:SendMessageBatch": ["sqs:SendMessage"],
    "sts:GetCallerIdentity": [],
}
"""Operations whose right has another name than they have."""

BY_NAME = ("get_paginator", "get_waiter", "generate_presigned_url")
"""Methods that are given the name of an operation."""

Document = dict[str, Any]


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)


def policy(heliostat: Heliostat, role: str, *arguments: str) -> Document:
    printed = heliostat("policy", "--for", role, *arguments)
    assert (printed.status, printed.err) == (0, "")
    document: Document = printed.json
    return document


def actions(document: Document) -> set[str]:
    return {action for statement in document["Statement"] for action in statement["Action"]}


def rights(service: str, operation: str) -> set[str]:
    """What IAM calls the rights that an operation needs."""
    name = f"{service}:{operation}"
    return set(IN_IAM.get(name, [name]))


# --- least -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    """The service authorization reference, as cfn-lint ships it: by service, actions and the resources they have."""
    parsed: dict[str, Any] = json.loads(files("cfnlint.data.AdditionalSpecs").joinpath("Policies.json").read_text())
    return parsed


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize("role", ROLES)
def test_every_action_exists_and_stands_beside_a_kind_of_resource_that_it_has(
    role: str, heliostat: Heliostat, reference: dict[str, Any]
) -> None:
    document = policy(heliostat, role)
    assert document["Version"] == "2012-10-17"
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        for action in statement["Action"]:
            service, _, operation = action.partition(":")
            kinds = reference[service]["Actions"][operation.lower()].get("Resources", [])
            formats = [
                re.sub(r"\$\{(Region|Account)\}|\.\*", "*", form.replace("${Partition}", "aws"))
                for kind in kinds
                for form in reference[service]["Resources"].get(kind, {"ARNFormats": []})["ARNFormats"]
            ]
            for resource in statement["Resource"]:
                if resource != "*":
                    assert any(fnmatchcase(resource, form) for form in formats), (action, resource)


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize(
    ("role", "demanded"),
    [
        ("coordinator", {"sqs:ListQueues"}),
        ("deployer", {"lambda:GetAccountSettings", "logs:DescribeLogGroups", "sqs:ListQueues"}),
        ("worker", set()),
    ],
)
def test_any_resource_is_allowed_only_where_aws_knows_no_narrower_one(
    role: str, demanded: set[str], heliostat: Heliostat, reference: dict[str, Any]
) -> None:
    document = policy(heliostat, role)
    unbounded = {
        action for statement in document["Statement"] if "*" in statement["Resource"] for action in statement["Action"]
    }
    assert unbounded == demanded
    for action in unbounded:
        service, _, operation = action.partition(":")
        assert "Resources" not in reference[service]["Actions"][operation.lower()]
    assert not any("*" in action for action in actions(document))
    for statement in document["Statement"]:
        assert len(statement["Action"]) == len(set(statement["Action"]))
        for resource in statement["Resource"]:
            assert resource == "*" or "heliostat" in resource, resource


@pytest.mark.usefixtures("no_credentials")
def test_account_region_stack_and_image_narrow_it(heliostat: Heliostat) -> None:
    arguments = ("--stack", "farm", "--account", ACCOUNT, "--region", "cn-north-1")
    for role in ROLES:
        statements = policy(heliostat, role, *arguments)["Statement"]
        for resource in {resource for statement in statements for resource in statement["Resource"]} - {"*"}:
            if not resource.endswith(":repository/heliostat-worker"):
                assert "farm" in resource
                assert "heliostat" not in resource
            _, partition, service, region, account, _ = resource.split(":", 5)
            assert partition == "aws-cn"
            assert region == ("" if service in ("s3", "iam") else "cn-north-1")
            assert account == ("" if service == "s3" else ACCOUNT)
    image = f"{ACCOUNT}.dkr.ecr.us-gov-west-1.amazonaws.com/team/film@sha256:{'0' * 64}"
    document = policy(heliostat, "deployer", "--region", "us-gov-west-1", "--image", image)
    (repository,) = [item["Resource"] for item in document["Statement"] if item["Sid"] == "Image"]
    assert repository == [f"arn:aws-us-gov:ecr:us-gov-west-1:{ACCOUNT}:repository/team/film"]


@pytest.mark.usefixtures("no_credentials")
def test_an_image_elsewhere_than_in_ecr_is_refused(heliostat: Heliostat) -> None:
    refused = heliostat("policy", "--for", "deployer", "--image", "heliostat-worker:latest")
    assert refused.status == 2
    assert refused.err.startswith(
        "heliostat: error: 'heliostat-worker:latest' is no image in Amazon ECR; write ACCOUNT."
    )


# --- enough, and no more ---------------------------------------------------------------------------------------------


def calls(modules: set[str]) -> set[str]:
    """Rights for what modules of the package call boto3 for: methods of its clients, by their names."""
    known = {
        xform_name(operation): (service, operation)
        for service in ("s3", "sqs", "lambda", "cloudformation", "sts")
        for operation in boto3.client(service).meta.service_model.operation_names
    }
    needed: set[str] = set()
    for module in modules:
        for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else None
            if isinstance(node, ast.Call) and getattr(node.func, "attr", None) in BY_NAME:
                assert isinstance(node.args[0], ast.Constant)
                name = str(node.args[0].value)
            if name in known:
                needed |= rights(*known[name])
    return needed


def test_every_module_is_known_to_be_used_by_coordinators_or_workers_or_both() -> None:
    there = {path.stem for path in PACKAGE.glob("*.py")}
    assert there == ON_BOTH_SIDES | BY_COORDINATORS | BY_WORKERS | WITHOUT_CALLS
    assert calls(WITHOUT_CALLS) == set()


def test_coordinators_may_do_what_their_code_calls_and_nothing_else(heliostat: Heliostat) -> None:
    needed = calls(ON_BOTH_SIDES | BY_COORDINATORS)
    assert actions(policy(heliostat, "coordinator")) == needed - {"s3:DeleteObjectVersion"}  # nothing has versions


def test_workers_may_do_what_their_code_calls_and_write_their_log(heliostat: Heliostat) -> None:
    """But not delete: the store can, and no worker asks it to."""
    needed = calls(ON_BOTH_SIDES | BY_WORKERS) - {"s3:DeleteObject", "s3:DeleteObjectVersion"}
    assert actions(policy(heliostat, "worker")) == needed | {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert "store.delete" not in (PACKAGE / "handler.py").read_text()


def test_deployers_may_do_what_the_commands_call(
    aws: None, heliostat: Heliostat, operations: list[tuple[str, str, dict[str, Any]]]
) -> None:
    assert heliostat("deploy", "--image", IMAGE, answer="n\n").status == 1
    assert heliostat("deploy", "--image", IMAGE, "--yes").status == 0
    assert heliostat("deploy", "--memory", 512, "--yes").status == 0
    assert heliostat("status").status == 0
    assert heliostat("doctor").status == 1  # moto drops the configuration of events
    (bucket,) = boto3.client("s3").list_buckets()["Buckets"]
    boto3.client("s3").put_object(Bucket=bucket["Name"], Key="jobs/j1/film.mp4", Body=b"film")
    boto3.client("sqs").create_queue(QueueName="heliostat-replies-a")
    assert heliostat("destroy", "--yes", "--delete-artifacts").status == 0
    made = {(service, operation) for service, operation, _ in operations} - {("s3", "ListBuckets")}
    assert ("cloudformation", "ExecuteChangeSet") in made
    assert ("s3", "DeleteObjects") in made
    needed = {right for service, operation in made for right in rights(service, operation)}
    assert needed - actions(policy(heliostat, "deployer")) == set()


def test_the_stack_holds_the_policies_that_are_printed(deployed: dict[str, str], heliostat: Heliostat) -> None:
    """Those of the stack name the bucket itself, where the printed ones know how its name begins."""
    iam = boto3.client("iam")
    arn = f"arn:aws:iam::{ACCOUNT}:policy/heliostat-coordinator-{REGION}"
    version = iam.get_policy_version(
        PolicyArn=arn, VersionId=iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    )
    role = iam.get_role_policy(RoleName=f"heliostat-worker-{REGION}", PolicyName="worker")
    for name, document in (
        ("coordinator", version["PolicyVersion"]["Document"]),
        ("worker", role["PolicyDocument"]),
    ):
        printed = policy(heliostat, name, "--account", ACCOUNT, "--region", REGION)
        document = document if isinstance(document, dict) else ast.literal_eval(document)  # moto's, of an inline policy
        text = json.dumps(printed).replace("heliostat-artifacts-*", deployed["BucketName"])
        assert json.loads(text)["Statement"] == [listed(statement) for statement in document["Statement"]]


def listed(statement: dict[str, Any]) -> dict[str, Any]:
    return {
        key: [value] if key in ("Action", "Resource") and isinstance(value, str) else value
        for key, value in statement.items()
    }
