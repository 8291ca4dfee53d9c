"""Where a store lies."""

from __future__ import annotations

import pytest

from heliostat.errors import SpecError
from heliostat_aws.s3_location import S3Location
from heliostat_aws.session import Connection


@pytest.mark.parametrize(
    ("url", "bucket", "prefix", "connection", "written"),
    [
        ("s3://films", "films", "", Connection(), "s3://films"),
        ("s3://films/", "films", "", Connection(), "s3://films"),
        ("s3://my.films/a/b/", "my.films", "a/b/", Connection(), "s3://my.films/a/b"),
        ("s3://films/a%20b/☀", "films", "a b/☀/", Connection(), "s3://films/a%20b/%E2%98%80"),
        ("s3://films?region=eu-west-1", "films", "", Connection(region="eu-west-1"), "s3://films?region=eu-west-1"),
        (
            "s3://films/a?profile=my%20own&endpoint_url=http://127.0.0.1:9000",
            "films",
            "a/",
            Connection(profile="my own", endpoint_url="http://127.0.0.1:9000"),
            "s3://films/a?profile=my+own&endpoint_url=http%3A%2F%2F127.0.0.1%3A9000",
        ),
    ],
)
def test_a_url_names_bucket_prefix_and_connection(
    url: str, bucket: str, prefix: str, connection: Connection, written: str
) -> None:
    location = S3Location.parse(url)
    assert location == S3Location(bucket=bucket, prefix=prefix, connection=connection)
    assert location.url == written
    assert S3Location.parse(written) == location


@pytest.mark.parametrize(
    "url",
    [
        "s3:",
        "s3:films",
        "s3:///films",
        "gs://films",
        "s3://user@films",
        "s3://films:80/a",
        "s3://[films/a",
        "s3://films/a//b",
        "s3://films/../b",
        "s3://films#a",
        "s3://films?zone=x",
        "s3://films?region=",
        "s3://films?region",
        "s3://filmé/a",
    ],
)
def test_what_is_no_url_of_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(SpecError, match=r"is no URL of an S3 bucket; write s3://bucket/prefix\?region="):
        S3Location.parse(url)
