"""The options of the worker adapter and the artifact store."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class LambdaOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the worker adapter `aws-lambda`. A stack of `heliostat aws deploy` says all the rest."""

    stack: str | None = None
    """The CloudFormation stack that function, bucket and queues are found in."""
    function: str | None = None
    """Name or ARN of the function, in place of the stack's."""
    qualifier: str | None = None
    """Version or alias of the function."""
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    """Where AWS is, when it is not where the region says."""
    artifacts: str | None = None
    """The artifact store, `s3://bucket/prefix`, in place of the stack's bucket."""
    invocation: Literal["sync", "event"] = "sync"
    """`sync` holds a connection for as long as a chunk runs; `event` does not, for chunks of many minutes."""
    reports: Literal["sqs", "off"] = "sqs"
    """How frames and log lines come back while a chunk runs. `event` needs `sqs`."""
    concurrency: Annotated[int, Meta(ge=1, le=1000)] = 100
    """Chunks at once, unless the job says."""
    usd_per_gb_second: float = 0.0000166667
    """The price that the estimated cost is made with; Lambda on x86 in most regions."""


class S3Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the artifact store `s3`."""

    url: str
    """`s3://bucket/prefix`, with `?region=…&profile=…&endpoint_url=…` where boto3's own settings do not do."""
