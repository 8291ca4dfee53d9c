"""`heliostat aws deploy` makes and changes the stack."""

from __future__ import annotations

import re
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from moto.cloudformation.models import CloudFormationBackend, Stack

from heliostat_aws.deploy import changes, events

from .conftest import IMAGE, REGION, Heliostat, resource_event

OUTPUTS = {"FunctionName", "FunctionArn", "BucketName", "ReplyQueuePrefix", "LogGroupName", "Region"}


def test_a_new_stack_has_everything_that_adapters_look_up(deployed: dict[str, str]) -> None:
    assert set(deployed) == OUTPUTS
    assert deployed["FunctionName"] == "heliostat-worker"
    assert deployed["FunctionArn"].endswith(":function:heliostat-worker")
    assert deployed["BucketName"].startswith("heliostat-artifacts-")
    assert deployed["ReplyQueuePrefix"] == "heliostat-replies-"
    assert deployed["LogGroupName"] == "/aws/lambda/heliostat-worker"
    assert deployed["Region"] == REGION
    function = boto3.client("lambda").get_function(FunctionName="heliostat-worker")
    configured = function["Configuration"]
    assert function["Code"]["ImageUri"] == IMAGE
    assert (configured["MemorySize"], configured["Timeout"]) == (3008, 900)
    assert configured["Environment"]["Variables"] == {"HELIOSTAT_ARTIFACTS": f"s3://{deployed['BucketName']}"}
    assert ":role/heliostat-worker-eu-west-1" in configured["Role"]


def test_what_would_be_made_is_shown_then_each_resource_once_then_the_outputs_and_what_is_next(
    aws: None, heliostat: Heliostat
) -> None:
    made = heliostat("deploy", "--image", IMAGE, "--stack", "farm", "--region", REGION, "--yes")
    assert (made.status, made.err) == (0, "")
    lines = made.out.splitlines()
    assert lines[0] == "Stack farm in eu-west-1 would be made:"
    assert re.search(r"^  add  Worker  +AWS::Lambda::Function$", made.out, re.MULTILINE)
    assert lines.count("  created  Worker  (AWS::Lambda::Function)") == 1
    assert sum(line.startswith("  created") for line in lines) == 11
    assert re.search(r"^  FunctionName +farm-worker$", made.out, re.MULTILINE)
    assert lines[-1] == "  heliostat render job.toml --worker aws-lambda --set stack=farm --set region=eu-west-1"


def test_a_stack_that_is_as_it_should_be_is_left_alone(
    deployed: dict[str, str], heliostat: Heliostat, operations: list[tuple[str, str, dict[str, Any]]]
) -> None:
    again = heliostat("deploy", "--image", IMAGE, "--yes")
    assert (again.status, again.err) == (0, "")
    assert again.out == "Stack heliostat in eu-west-1 is as it should be; there is nothing to change.\n"
    assert heliostat("deploy", "--yes").out == again.out
    assert "ExecuteChangeSet" not in [operation for _, operation, _ in operations]


def test_an_update_changes_what_is_given_and_keeps_the_rest(deployed: dict[str, str], heliostat: Heliostat) -> None:
    changed = heliostat("deploy", "--memory", 4096, "--parameter", "LogRetentionDays=30", "--yes")
    assert (changed.status, changed.err) == (0, "")
    assert "Stack heliostat in eu-west-1 would change:" in changed.out
    assert boto3.client("lambda").get_function_configuration(FunctionName="heliostat-worker")["MemorySize"] == 4096
    heliostat("deploy", "--timeout", 60, "--yes")
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName="heliostat")["Stacks"]
    parameters = {known["ParameterKey"]: known["ParameterValue"] for known in stack["Parameters"]}
    assert parameters["ImageUri"] == IMAGE
    changed_to = {"MemoryMb": "4096", "LogRetentionDays": "30", "TimeoutSeconds": "60"}
    assert {name: parameters[name] for name in changed_to} == changed_to


@pytest.mark.parametrize("answer", ["n\n", ""], ids=["no", "end of input"])
@pytest.mark.parametrize("what", ["new", "there"])
def test_a_no_changes_nothing(what: str, answer: str, aws: None, heliostat: Heliostat) -> None:
    formation = boto3.client("cloudformation")
    if what == "there":
        assert heliostat("deploy", "--image", IMAGE, "--yes").status == 0
    refused = heliostat("deploy", "--image", f"{IMAGE}-new", answer=answer)
    assert refused.status == 1
    assert "Go ahead? [y/N]:" in refused.out
    assert refused.out.endswith("Nothing was changed.\n")
    assert [summary["Status"] for summary in _unexecuted(formation)] == []
    stacks = formation.describe_stacks()["Stacks"]
    assert [stack["StackStatus"] for stack in stacks] == (["CREATE_COMPLETE"] if what == "there" else [])


def _unexecuted(formation: Any) -> list[Any]:
    summaries = formation.list_change_sets(StackName="heliostat")["Summaries"]
    return [summary for summary in summaries if summary["ExecutionStatus"] != "EXECUTE_COMPLETE"]


def test_a_yes_is_enough(aws: None, heliostat: Heliostat) -> None:
    assert heliostat("deploy", "--image", IMAGE, answer="y\n").status == 0


def test_a_stack_that_was_only_proposed_is_made(aws: None, heliostat: Heliostat, stacks: dict[str, Stack]) -> None:
    """As when the terminal was closed at the question."""
    assert heliostat("deploy", "--image", IMAGE, "--yes").status == 0
    stacks["heliostat"].status = "REVIEW_IN_PROGRESS"
    assert "would be made" in heliostat("deploy", "--image", IMAGE, answer="n\n").out


def test_without_a_terminal_nobody_is_asked(aws: None, heliostat: Heliostat) -> None:
    refused = heliostat("deploy", "--image", IMAGE)
    assert refused.status == 2
    assert refused.err == "heliostat: error: there is nobody to ask whether to change the stack; add --yes\n"
    assert boto3.client("cloudformation").describe_stacks()["Stacks"] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "there is no stack 'heliostat' in eu-west-1 yet, and a new one needs --image URI"),
        (("--parameter", "Memory=1"), "the template has no parameter 'Memory'; it has: ImageUri, MemoryMb"),
        (("--parameter", "MemoryMb=64"), "MemoryMb cannot be '64'; it has to be a whole number from 128 to 10240"),
        (("--parameter", "ReservedConcurrency=-1"), "it has to be a whole number from 0"),
        (("--parameter", "LogRetentionDays=2"), "LogRetentionDays cannot be '2'; it has to be one of 1, 3, 5, 7"),
        (("--parameter", "AlarmTopicArn=topic"), "AlarmTopicArn cannot be 'topic'; it has to be like (arn:"),
        (("--parameter", "ImageUri="), "ImageUri cannot be ''; it has to be something"),
        (("--parameter", "MemoryMb"), "'MemoryMb' is no parameter; write KEY=VALUE"),
        (("--memory", "64"), "Invalid value for '--memory'"),
        (("--stack", "My_Stack"), "cannot name a stack: use up to 32 lower-case letters, digits and hyphens"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    arguments: tuple[str, ...], sentence: str, aws: None, heliostat: Heliostat
) -> None:
    refused = heliostat("deploy", "--yes", *arguments)
    assert refused.status == 2
    assert sentence in " ".join(refused.err.replace("│", "").split())
    assert boto3.client("cloudformation").describe_stacks()["Stacks"] == []


def describe_as(monkeypatch: pytest.MonkeyPatch, *answers: dict[str, Any]) -> None:
    """What CloudFormation says of a change set, one look after the other; moto sees no changes of parameters."""
    call, left = BaseClient._make_api_call, list(answers)

    def answered(client: BaseClient, operation: str, parameters: object) -> Any:
        return left.pop(0) if operation == "DescribeChangeSet" else call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", answered)


def test_what_would_be_made_anew_is_told_apart(
    deployed: dict[str, str], heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "POLL", 0.0)
    told = [
        ("Modify", "False", "Worker"),
        ("Modify", "True", "Artifacts"),
        ("Modify", "Conditional", "LogGroup"),
        ("Remove", None, "Old"),
    ]
    described = [
        {"Action": action, "LogicalResourceId": name, "ResourceType": "AWS::X::Y"}
        | ({"Replacement": replacement} if replacement else {})
        for action, replacement, name in told
    ]
    pending = {"Status": "CREATE_IN_PROGRESS"}
    ready = {"Status": "CREATE_COMPLETE", "Changes": [{"Type": "Resource", "ResourceChange": it} for it in described]}
    describe_as(monkeypatch, pending, pending, ready)
    shown = heliostat("deploy", "--memory", 512, answer="n\n").out.splitlines()
    assert shown[1:5] == [
        "  modify         Worker     AWS::X::Y",
        "  replace        Artifacts  AWS::X::Y",
        "  maybe replace  LogGroup   AWS::X::Y",
        "  remove         Old        AWS::X::Y",
    ]


def test_a_change_set_that_cannot_be_made_is_explained_and_leaves_nothing(
    aws: None, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe_as(monkeypatch, {"Status": "FAILED", "StatusReason": "Role x is wrong."})
    refused = heliostat("deploy", "--image", IMAGE, "--yes")
    assert refused.status == 1
    assert refused.err == (
        "heliostat: error: CloudFormation cannot change stack heliostat (Role x is wrong); mend that and deploy again\n"
    )
    assert boto3.client("cloudformation").describe_stacks()["Stacks"] == []


# --- failures --------------------------------------------------------------------------------------------------------


def fail(monkeypatch: pytest.MonkeyPatch, state: str, reason: str = "Source image x does not exist.") -> None:
    """Let the next change set fail as on AWS: one resource fails, others are cancelled, the rest goes again."""
    verb = state.partition("_")[0].replace("ROLLBACK", "CREATE")

    def execute(backend: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
        stack = backend.change_sets[change_set_name].stack
        stack._add_stack_event(f"{verb}_IN_PROGRESS", resource_status_reason="User Initiated")
        for name, kind, status, why in (
            ("LogGroup", "AWS::Logs::LogGroup", f"{verb}_COMPLETE", None),
            ("Failures", "AWS::SQS::Queue", f"{verb}_FAILED", "Resource creation cancelled"),
            ("Worker", "AWS::Lambda::Function", f"{verb}_FAILED", reason),
            ("LogGroup", "AWS::Logs::LogGroup", "DELETE_COMPLETE", None),
        ):
            stack.events.append(resource_event(stack, name, kind, status, why))
        stack._add_stack_event(state)
        stack.status = state

    monkeypatch.setattr(CloudFormationBackend, "execute_change_set", execute)


def test_a_creation_that_fails_names_the_first_resource_that_failed_by_itself(
    aws: None, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, "ROLLBACK_COMPLETE")
    failed = heliostat("deploy", "--image", IMAGE, "--yes")
    assert failed.status == 1
    assert "  created  LogGroup  (AWS::Logs::LogGroup)\n" in failed.out
    assert "  failed  Worker  (AWS::Lambda::Function): Source image x does not exist.\n" in failed.out
    assert failed.err == (
        "heliostat: error: stack heliostat could not be made (ROLLBACK_COMPLETE, because of Worker: Source image x does"
        " not exist); push the worker image to Amazon ECR in this region, and give its URI, then run `heliostat aws"
        " destroy --stack heliostat`, and deploy again\n"
    )


def test_a_stack_that_was_rolled_back_has_to_be_destroyed_first(
    aws: None, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, "ROLLBACK_COMPLETE")
    heliostat("deploy", "--image", IMAGE, "--yes")
    again = heliostat("deploy", "--image", IMAGE, "--yes")
    assert again.status == 1
    assert again.err == (
        "heliostat: error: stack heliostat was not made to the end (ROLLBACK_COMPLETE, because of Worker: Source image"
        " x does not exist), and such a stack cannot be changed; remove it with `heliostat aws destroy --stack"
        " heliostat`, then deploy again\n"
    )


def test_an_update_that_fails_says_that_the_stack_is_as_it_was(
    deployed: dict[str, str], heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, "UPDATE_ROLLBACK_COMPLETE", "User: x is not authorized to perform: lambda:UpdateFunctionCode")
    failed = heliostat("deploy", "--memory", 512, "--yes")
    assert failed.status == 1
    assert "stack heliostat could not be changed, and is as it was (UPDATE_ROLLBACK_COMPLETE, because" in failed.err
    assert failed.err.endswith(
        "`heliostat aws policy --for deployer` prints what the caller needs to be allowed, then deploy again\n"
    )


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("UPDATE_IN_PROGRESS", "is being changed already (UPDATE_IN_PROGRESS); wait until"),
        ("UPDATE_ROLLBACK_FAILED", "then run `aws cloudformation continue-update-rollback --stack-name heliostat`"),
        ("DELETE_FAILED", "remove it with `heliostat aws destroy --stack heliostat`"),
    ],
)
def test_a_stack_in_a_state_that_allows_no_change_is_explained(
    state: str, sentence: str, deployed: dict[str, str], heliostat: Heliostat, stacks: dict[str, Stack]
) -> None:
    stacks["heliostat"].status = state
    refused = heliostat("deploy", "--memory", 512, "--yes")
    assert refused.status == 1
    assert sentence in refused.err
    assert refused.err.count("\n") == 1


def test_a_change_is_followed_until_it_ends(aws: None, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudFormation takes its time: with every look one more event is there, and some are told twice."""
    complete = CloudFormationBackend.execute_change_set
    told: list[Any] = []

    def execute(backend: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
        complete(backend, change_set_name, stack_name)
        stack = backend.change_sets[change_set_name].stack
        told.extend(stack.events[1:])
        del stack.events[1:]

    def describe(backend: CloudFormationBackend, stack_name: str) -> list[Any]:
        stack = backend.get_stack(stack_name)
        if told:
            stack.events.append(told.pop(0))
        return stack.events

    monkeypatch.setattr(events, "POLL", 0.0)
    monkeypatch.setattr(CloudFormationBackend, "execute_change_set", execute)
    monkeypatch.setattr(CloudFormationBackend, "describe_stack_events", describe)
    made = heliostat("deploy", "--image", IMAGE, "--yes")
    assert (made.status, made.err) == (0, "")
    assert not told
    assert sum(line.startswith("  created") for line in made.out.splitlines()) == 11


def test_no_longer_watching_leaves_the_change_to_aws(
    aws: None, heliostat: Heliostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CloudFormationBackend, "execute_change_set", lambda *args, **named: None)
    monkeypatch.setattr("heliostat_aws.deploy.events.time.sleep", interrupted)
    stopped = heliostat("deploy", "--image", IMAGE, "--yes")
    assert stopped.status == 1
    assert (
        "AWS goes on without being watched; `heliostat aws status --stack heliostat` shows how it ends" in stopped.err
    )
