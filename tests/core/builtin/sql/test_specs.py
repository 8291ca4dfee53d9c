"""Specifications as compressed parts."""

from __future__ import annotations

import msgspec
import pytest

from heliostat.builtin.sql import specs
from heliostat.builtin.sql.specs import SLICE, SpecCache, pack, unpack
from heliostat.testing.repository import job_of


@pytest.mark.parametrize("chunks", [0, 1, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE + 1])
def test_a_specification_is_what_its_parts_make(chunks: int):
    spec = msgspec.structs.replace(job_of(chunks).spec, name="ein Film ☀", env={"A": "ü"})
    parts = pack(spec)
    assert len(parts) == 1 + (chunks + SLICE - 1) // SLICE
    assert unpack(parts) == spec


def test_specifications_used_long_ago_are_forgotten_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(specs, "KEPT", 6000)
    cache, some = SpecCache(), job_of(1000).spec
    for number in (1, 2, 3):
        cache.put(number, some)
    assert cache.get(1) is some
    cache.put(4, some)
    assert [cache.get(number) is some for number in (1, 2, 3, 4)] == [True, False, True, True]


def test_a_specification_that_is_larger_than_all_that_is_kept_is_kept_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(specs, "KEPT", 100)
    cache, large = SpecCache(), job_of(1000).spec
    cache.put(1, job_of(1).spec)
    cache.put(2, large)
    assert (cache.get(1), cache.get(2)) == (None, large)
    cache.put(2, large)
    assert cache.get(2) is large
