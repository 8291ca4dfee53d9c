"""Opened where environments of Lambda are forked from: what boto3 has read about the services, it keeps."""

from __future__ import annotations

import os

from heliostat_aws.session import Connection, open_client


def open_clients() -> None:
    """Calls nobody. What it sets, forked environments do not have."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nobody"}
    for service in ("s3", "sqs"):
        open_client(service, Connection(region="us-east-1")).close()
