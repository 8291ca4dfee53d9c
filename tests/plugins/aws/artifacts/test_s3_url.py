"""The URL of a store, and what it says of the connection."""

from __future__ import annotations

import pytest

from heliostat.errors import SpecError
from heliostat.worker import Bucket
from heliostat_aws.artifacts import S3
from heliostat_aws.session import Connection


def test_a_url_names_region_profile_and_endpoint() -> None:
    bucket = Bucket.parse("s3://films/a?region=eu-west-1&profile=own&endpoint_url=http://127.0.0.1:9000", S3)
    assert (bucket.name, bucket.prefix) == ("films", "a/")
    assert Connection(**bucket.settings) == Connection(
        region="eu-west-1", profile="own", endpoint_url="http://127.0.0.1:9000"
    )


def test_what_is_no_url_of_a_bucket_is_refused() -> None:
    for url in ("s3:films", "gs://films", "s3://films?zone=x"):
        with pytest.raises(SpecError, match=r"is no URL of an S3 bucket; write s3://bucket/prefix\?region=…&profile="):
            Bucket.parse(url, S3)
