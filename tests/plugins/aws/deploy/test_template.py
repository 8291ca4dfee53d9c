"""The template says what CloudFormation is to make; moto drops part of it, so that part is read here."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import heliostat_aws
from heliostat_aws.deploy.template import parse_template

REPOSITORY = Path(__file__).parents[4]
TEMPLATE = Path(heliostat_aws.__file__).with_name("template.yaml")


def properties(resource: str) -> dict[str, Any]:
    found: dict[str, Any] = parse_template()["Resources"][resource]["Properties"]
    return found


def test_cfn_lint_finds_nothing_with_no_rule_left_out() -> None:
    command = [
        Path(sysconfig.get_path("scripts"), "cfn-lint"),
        "--include-checks",
        "I",
        "--regions",
        "us-east-1",
        "eu-west-1",
        "--",
    ]
    linted = subprocess.run([*command, str(TEMPLATE)], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, ""), linted.stdout + linted.stderr
    assert "cfn-lint" not in TEMPLATE.read_text()


def test_infra_links_to_the_template_that_is_shipped() -> None:
    link = REPOSITORY / "infra/aws/template.yaml"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == REPOSITORY / "plugins/aws/heliostat_aws/template.yaml"


def test_parameters_and_their_defaults() -> None:
    defaults = {name: parameter.get("Default") for name, parameter in parse_template()["Parameters"].items()}
    assert defaults == {
        "ImageUri": None,
        "MemoryMb": 3008,
        "EphemeralStorageMb": 4096,
        "TimeoutSeconds": 900,
        "LogRetentionDays": 14,
        "ReservedConcurrency": 0,
        "ArtifactExpiryDays": 0,
        "AlarmTopicArn": "",
    }


def test_the_bucket_is_kept_private_and_encrypted() -> None:
    resource = parse_template()["Resources"]["Artifacts"]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
    bucket = resource["Properties"]
    assert "BucketName" not in bucket  # one of CloudFormation's, so that the stack can be made again beside it
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_messages_and_unfinished_uploads_expire_and_everything_when_it_is_asked_for() -> None:
    control, uploads, everything = properties("Artifacts")["LifecycleConfiguration"]["Rules"]
    assert (control["Prefix"], control["ExpirationInDays"], control["Status"]) == ("control/", 7, "Enabled")
    assert uploads["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    condition, rule, otherwise = everything["Fn::If"]
    assert (condition, otherwise) == ("HasArtifactExpiry", {"Ref": "AWS::NoValue"})
    assert rule["ExpirationInDays"] == {"Ref": "ArtifactExpiryDays"}
    assert "Prefix" not in rule


def test_the_bucket_is_reached_over_tls_alone() -> None:
    (statement,) = properties("ArtifactsPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [{"Fn::GetAtt": ["Artifacts", "Arn"]}, {"Fn::Sub": "${Artifacts.Arn}/*"}]


def test_what_moto_drops_of_the_function() -> None:
    worker = properties("Worker")
    assert worker["EphemeralStorage"] == {"Size": {"Ref": "EphemeralStorageMb"}}
    assert worker["LoggingConfig"] == {"LogGroup": {"Ref": "LogGroup"}}
    assert worker["ImageConfig"] == {"Command": ["heliostat_aws.handler.handle"]}
    reserved = ["HasReservedConcurrency", {"Ref": "ReservedConcurrency"}, {"Ref": "AWS::NoValue"}]
    assert worker["ReservedConcurrentExecutions"] == {"Fn::If": reserved}
    assert properties("LogGroup")["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_lambda_retries_no_event_and_says_what_became_of_it() -> None:
    events = properties("WorkerEvents")
    assert (events["FunctionName"], events["Qualifier"]) == ({"Ref": "Worker"}, "$LATEST")
    assert events["MaximumRetryAttempts"] == 0
    assert events["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": ["Failures", "Arn"]}}}


def test_an_event_is_not_kept_longer_than_the_adapter_waits_for_it() -> None:
    from heliostat_aws.adapter import START

    assert properties("WorkerEvents")["MaximumEventAgeInSeconds"] == START


def test_alarms_act_only_when_there_is_a_topic() -> None:
    alarms = {
        name: resource["Properties"]
        for name, resource in parse_template()["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert set(alarms) == {"ErrorsAlarm", "ThrottlesAlarm", "DurationAlarm"}
    for alarm in alarms.values():
        action = ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]
        assert alarm["AlarmActions"] == {"Fn::If": action}
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert [alarms[name]["MetricName"] for name in ("ErrorsAlarm", "ThrottlesAlarm")] == ["Errors", "Throttles"]
    longest, percent = alarms["DurationAlarm"]["Metrics"]
    assert longest["MetricStat"]["Metric"]["MetricName"] == "Duration"
    assert longest["MetricStat"]["Stat"] == "Maximum"
    assert percent["Expression"] == {"Fn::Sub": "100 * longest / (1000 * ${TimeoutSeconds})"}  # Duration is in ms
    assert alarms["DurationAlarm"]["Threshold"] == 90
