"""Where a store in a bucket lies."""

from __future__ import annotations

import pytest

from heliostat.errors import ArtifactError, SpecError
from heliostat.worker import Bucket, ObjectService

SERVICE = ObjectService(
    bucket="a tin", schemes=("tin", "can"), settings=("region", "profile", "endpoint_url"), longest_key=40
)


@pytest.mark.parametrize(
    ("url", "name", "prefix", "settings", "written"),
    [
        ("tin://films", "films", "", {}, "tin://films"),
        ("tin://films/", "films", "", {}, "tin://films"),
        ("can://films/a", "films", "a/", {}, "tin://films/a"),
        ("tin://my.films/a/b/", "my.films", "a/b/", {}, "tin://my.films/a/b"),
        ("tin://my_films", "my_films", "", {}, "tin://my_films"),
        ("tin://films/a%20b/☀", "films", "a b/☀/", {}, "tin://films/a%20b/%E2%98%80"),
        ("tin://films?region=eu-west-1", "films", "", {"region": "eu-west-1"}, "tin://films?region=eu-west-1"),
        (
            "tin://films/a?profile=my%20own&region=x&endpoint_url=http://127.0.0.1:9000",
            "films",
            "a/",
            {"profile": "my own", "region": "x", "endpoint_url": "http://127.0.0.1:9000"},
            "tin://films/a?region=x&profile=my+own&endpoint_url=http%3A%2F%2F127.0.0.1%3A9000",
        ),
    ],
)
def test_a_url_names_bucket_prefix_and_settings(
    url: str, name: str, prefix: str, settings: dict[str, str], written: str
) -> None:
    bucket = Bucket.parse(url, SERVICE)
    assert bucket == Bucket(service=SERVICE, name=name, prefix=prefix, settings=settings)
    assert bucket.url == written
    assert bucket.address == written.partition("?")[0]
    assert Bucket.parse(written, SERVICE) == bucket


@pytest.mark.parametrize(
    "url",
    [
        "tin:",
        "tin:films",
        "tin:///films",
        "gold://films",
        "tin://user@films",
        "tin://films:80/a",
        "tin://[films/a",
        "tin://films/a//b",
        "tin://films/../b",
        "tin://films#a",
        "tin://films?zone=x",
        "tin://films?region=",
        "tin://films?region",
        "tin://filmé/a",
    ],
)
def test_what_is_no_url_of_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(SpecError, match=r"is no URL of a tin; write tin://bucket/prefix\?region=…&profile=…&endpoint_"):
        Bucket.parse(url, SERVICE)


def test_a_key_lies_below_the_prefix() -> None:
    bucket = Bucket.parse("tin://films/a", SERVICE)
    for key in ("x", "jobs/1/part ☀.mp4", "..x/.y"):
        assert bucket.object_key(key) == f"a/{key}"
        assert bucket.key_of(f"a/{key}") == key
    for prefix in ("", "jobs", "jobs/", "jobs/1/pa"):
        assert bucket.object_prefix(prefix) == f"a/{prefix}"
    for placeholder in ("a/", "a/jobs/"):
        assert bucket.key_of(placeholder) is None, "the empty objects that stand for folders"


@pytest.mark.parametrize(
    "key", ["", "/x", "..", "../x", "a/../../x", "a//b", "a/", ".", "a\0", "a\nb", "a\x7f", "\udc80"]
)
def test_what_is_no_key_is_refused(key: str) -> None:
    bucket = Bucket.parse("tin://films/a", SERVICE)
    with pytest.raises(ArtifactError, match=r"is no key of tin://films/a; keys are relative paths"):
        bucket.object_key(key)
    if key.rstrip("/").rpartition("/")[0]:
        with pytest.raises(ArtifactError, match=r"is no key of tin://films/a; keys are relative paths"):
            bucket.object_prefix(key)


def test_a_key_that_is_too_long_is_refused() -> None:
    """In bytes, the prefix included."""
    bucket = Bucket.parse("tin://films/a", SERVICE)
    assert bucket.object_key("é" * 19) == "a/" + "é" * 19
    with pytest.raises(ArtifactError, match="is too long for a tin, which takes 40 bytes; shorten it"):
        bucket.object_key("é" * 20)
