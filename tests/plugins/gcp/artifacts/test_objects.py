"""What other modules of the plugin do with the objects of a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from strict_gcs import StrictGcs

from heliostat.worker import Taken, Threads
from heliostat_gcp.gcs_objects import GcsObjects
from heliostat_gcp.options import Connection
from heliostat_gcp.session import open_session


@pytest.fixture
def objects(server: StrictGcs, bucket: Any) -> Iterator[GcsObjects]:
    """Called on the thread of the test, which nobody cancels."""
    threads = Threads(1, "heliostat gcs")
    objects = GcsObjects(open_session(Connection(), threads.check_on, 1), bucket.name, threads)
    yield objects
    objects.close()


def test_metadata_and_generation_are_listed(objects: GcsObjects) -> None:
    for number in range(3):
        objects.put(f"mail/{number}", b"letter %d" % number, metadata={"to": f"worker {number}", "ünïcode": "☀"})
    objects.put("other", b"")
    page = objects.page("mail/", None)
    assert [(found.key, found.size, found.metadata["to"], found.metadata["ünïcode"]) for found in page.objects] == [
        (f"mail/{number}", 8, f"worker {number}", "☀") for number in range(3)
    ]
    assert page.next is None
    for found in page.objects:
        assert found.version.isdigit()
        assert abs(found.modified_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert objects.find(found.key) == found


def test_a_listing_goes_on_where_the_page_ended(objects: GcsObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliostat_gcp.gcs_objects._PAGE", 2)
    for number in range(5):
        objects.put(f"mail/{number}", b"")
    keys, start = [], None
    for _ in range(3):
        page = objects.page("mail/", start)
        keys.append([found.key for found in page.objects])
        start = page.next
    assert keys == [["mail/0", "mail/1"], ["mail/2", "mail/3"], ["mail/4"]]
    assert start is None


def test_a_listed_object_is_read_with_one_request(objects: GcsObjects, server: StrictGcs) -> None:
    objects.put("mail", b"letter")
    (found,) = objects.page("", None).objects
    server.requests.clear()
    assert objects.content(found) == b"letter"
    assert server.operations == ["media"]


def test_what_was_replaced_is_not_read_as_if_it_were_the_same(objects: GcsObjects) -> None:
    first = objects.put("mail", b"letter")
    second = objects.put("mail", b"another")
    assert first.version != second.version
    assert objects.content(first) is None
    assert objects.content(second) == b"another"


def test_an_empty_object_has_an_empty_content(objects: GcsObjects) -> None:
    assert objects.content(objects.put("mail", b"")) == b""


def test_an_object_is_written_once_if_absent(objects: GcsObjects) -> None:
    objects.put("claim", b"mine", if_absent=True)
    with pytest.raises(Taken):
        objects.put("claim", b"yours", if_absent=True)
    (found,) = objects.page("", None).objects
    assert objects.content(found) == b"mine"


def test_only_the_version_that_was_found_is_deleted(objects: GcsObjects) -> None:
    kept, gone = objects.put("kept", b""), objects.put("gone", b"")
    objects.put("kept", b"later")
    assert objects.delete([kept, gone]) == 1
    assert [found.key for found in objects.page("", None).objects] == ["kept"]
    assert objects.delete([gone]) == 1, "it is gone, whoever was first"
    assert objects.delete([]) == 0


def test_what_is_not_there_is_not_found(objects: GcsObjects, server: StrictGcs) -> None:
    """Whether the bucket is there is asked once."""
    for key in ("x", "y", "z"):
        assert objects.find(key) is None
    assert server.operations == ["get", "list", "get", "get"]
