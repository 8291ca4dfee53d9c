"""The IAM policies that Heliostat on AWS needs. Nothing is asked of AWS for them.

Those of the worker and of coordinators are the template's own. Actions and the resources that they can be narrowed to
are those of the service authorization reference; `*` stands where it knows no narrower resource.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from heliostat_aws.deploy.template import parse_template

VERSION: Final = "2012-10-17"
"""Of IAM's policy language."""
IMAGE: Final = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z.]+/(?P<name>[^:@]+)([:@].*)?")


class Place(Struct, frozen=True, kw_only=True):
    """What a policy is for. `*` stands for any account or region."""

    stack: str
    account: str = "*"
    region: str = "*"

    @property
    def partition(self) -> str:
        prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
        return next((name for prefix, name in prefixes.items() if self.region.startswith(prefix)), "aws")

    def arn(self, service: str, resource: str) -> str:
        """Of something in this region and account; that IAM has no regions is known here."""
        region = "" if service == "iam" else self.region
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{resource}"

    @property
    def bucket(self) -> str:
        """CloudFormation ends the bucket's name in characters of its own."""
        return f"arn:{self.partition}:s3:::{self.stack}-artifacts-*"


def coordinator_policy(place: Place) -> dict[str, Any]:
    """For whoever runs jobs."""
    return _of_template("CoordinatorPolicy", place)


def worker_policy(place: Place) -> dict[str, Any]:
    """Of the role that the function has."""
    return _of_template("WorkerRole", place)


def deployer_policy(place: Place, image: str | None = None) -> dict[str, Any]:
    """For `heliostat aws deploy`, `status`, `destroy` and `doctor`; CloudFormation acts with the caller's own rights.

    Without an image, the repository in ECR is taken to be `heliostat-worker`.
    """
    worker, role = f"{place.stack}-worker", f"{place.stack}-worker-{place.region}"
    statements = [
        _allow(
            "Stack",
            "cloudformation",
            "CreateChangeSet DeleteChangeSet DeleteStack DescribeChangeSet DescribeStackEvents DescribeStackResource"
            " DescribeStacks ExecuteChangeSet",
            place.arn("cloudformation", f"stack/{place.stack}/*"),
        ),
        _allow(
            "Function",
            "lambda",
            "CreateFunction DeleteFunction DeleteFunctionConcurrency DeleteFunctionEventInvokeConfig GetFunction"
            " GetFunctionCodeSigningConfig GetFunctionConcurrency GetFunctionConfiguration GetFunctionEventInvokeConfig"
            " GetFunctionRecursionConfig GetRuntimeManagementConfig InvokeFunction ListTags PutFunctionConcurrency"
            " PutFunctionEventInvokeConfig TagResource UntagResource UpdateFunctionCode UpdateFunctionConfiguration"
            " UpdateFunctionEventInvokeConfig",
            place.arn("lambda", f"function:{worker}"),
            place.arn("lambda", f"function:{worker}:*"),
        ),
        _allow(
            "Image",
            "ecr",
            "BatchGetImage GetDownloadUrlForLayer GetRepositoryPolicy SetRepositoryPolicy",
            _repository(place, image),
        ),
        _allow(
            "Bucket",
            "s3",
            "CreateBucket DeleteBucket DeleteBucketPolicy GetBucketOwnershipControls GetBucketPolicy"
            " GetBucketPublicAccessBlock GetBucketTagging GetEncryptionConfiguration GetLifecycleConfiguration"
            " ListBucket ListBucketVersions PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock"
            " PutBucketTagging PutEncryptionConfiguration PutLifecycleConfiguration",
            place.bucket,
        ),
        _allow("Artifacts", "s3", "DeleteObject DeleteObjectVersion PutObject", f"{place.bucket}/*"),
        _allow(
            "Role",
            "iam",
            "CreateRole DeleteRole DeleteRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies"
            " PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole",
            place.arn("iam", f"role/{role}"),
        ),
        _allow("GiveRoleToFunction", "iam", "PassRole", place.arn("iam", f"role/{role}"))
        | {"Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}},
        _allow(
            "CoordinatorPolicy",
            "iam",
            "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion"
            " ListEntitiesForPolicy ListPolicyVersions TagPolicy UntagPolicy",
            place.arn("iam", f"policy/{place.stack}-coordinator-{place.region}"),
        ),
        _allow(
            "Logs",
            "logs",
            "CreateLogGroup DeleteLogGroup DeleteRetentionPolicy ListTagsForResource PutRetentionPolicy TagResource"
            " UntagResource",
            place.arn("logs", f"log-group:/aws/lambda/{worker}"),
            place.arn("logs", f"log-group:/aws/lambda/{worker}:*"),
        ),
        _allow(
            "Queues",
            "sqs",
            "CreateQueue DeleteQueue GetQueueAttributes GetQueueUrl ListQueueTags SetQueueAttributes TagQueue"
            " UntagQueue",
            place.arn("sqs", f"{place.stack}-failures"),
            place.arn("sqs", f"{place.stack}-replies-*"),
        ),
        _allow(
            "Alarms",
            "cloudwatch",
            "DeleteAlarms DescribeAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource",
            place.arn("cloudwatch", f"alarm:{place.stack}-*"),
        ),
        _allow("AccountLimits", "lambda", "GetAccountSettings", "*"),
        _allow("FindLogs", "logs", "DescribeLogGroups", "*"),
        _allow("FindQueues", "sqs", "ListQueues", "*"),
    ]
    return {"Version": VERSION, "Statement": statements}


def _allow(sid: str, service: str, operations: str, *resources: str) -> dict[str, Any]:
    actions = [f"{service}:{operation}" for operation in operations.split()]
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": list(resources)}


def _repository(place: Place, image: str | None) -> str:
    """The ARN of the image's repository."""
    if image is None:
        return place.arn("ecr", "repository/heliostat-worker")
    from heliostat.errors import SpecError

    if (found := IMAGE.fullmatch(image)) is None:
        raise SpecError(
            f"{image!r} is no image in Amazon ECR; write ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG"
        )
    return f"arn:{place.partition}:ecr:{found['region']}:{found['account']}:repository/{found['name']}"


def _of_template(resource: str, place: Place) -> dict[str, Any]:
    """The policy of a role or a managed policy in the template, its references filled in."""
    properties = parse_template()["Resources"][resource]["Properties"]
    inline = properties.get("Policies")
    document = inline[0]["PolicyDocument"] if inline else properties["PolicyDocument"]
    values = {
        "AWS::Partition": place.partition,
        "AWS::Region": place.region,
        "AWS::AccountId": place.account,
        "AWS::StackName": place.stack,
        "Artifacts.Arn": place.bucket,
    }
    filled: dict[str, Any] = _fill_in(document, values)
    for statement in filled["Statement"]:
        for key in ("Action", "Resource"):
            if isinstance(statement[key], str):
                statement[key] = [statement[key]]
    return filled


def _fill_in(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_fill_in(item, values) for item in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Sub" in value:
        return re.sub(r"\$\{([^}]+)\}", lambda name: values[name[1]], value["Fn::Sub"])
    if "Fn::GetAtt" in value:
        return values[".".join(value["Fn::GetAtt"])]
    return {key: _fill_in(item, values) for key, item in value.items()}
