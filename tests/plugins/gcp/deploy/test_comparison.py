"""What is wanted beside what is found."""

from __future__ import annotations

from typing import Any

import pytest

from heliostat_gcp.deploy.comparison import differences, merged


@pytest.mark.parametrize(
    ("found", "wanted", "lines"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a: 1 -> 2"]),
        ({}, {"a": {"b": False}}, ["a.b: nothing -> false"]),
        ({"a": None}, {"a": {"b": "x"}}, ["a.b: nothing -> x"]),
        ({"a": ["x", "y"]}, {"a": ["x"]}, ['a: ["x", "y"] -> ["x"]']),
        ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 3}]}, ["a[0].b: 1 -> 3"]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}]}, ['a[1]: {"b": 2} -> nothing']),
        ({"a": []}, {"a": [{"b": 1}]}, ["a[0].b: nothing -> 1"]),
        (
            {"env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]},
            {"env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "3"}]},
            ["env[Y].value: 2 -> 3"],
        ),
        (
            {"env": [{"name": "X", "value": "1"}]},
            {"env": [{"name": "Z", "value": "1"}]},
            [
                "env[Z].name: nothing -> Z",
                "env[Z].value: nothing -> 1",
                'env[X]: {"name": "X", "value": "1"} -> nothing',
            ],
        ),
    ],
)
def test_each_field_that_is_different_is_told_once(found: Any, wanted: Any, lines: list[str]) -> None:
    assert [difference.line for difference in differences(found, wanted)] == lines
    after = merged(found, wanted)
    assert list(differences(after, wanted)) == []


def test_what_is_not_spoken_of_stays() -> None:
    found = {"a": {"b": 1, "c": 2}, "d": [{"name": "X", "value": "1", "more": True}, {"name": "Y"}], "e": 5}
    wanted = {"a": {"b": 3}, "d": [{"name": "X", "value": "2"}]}
    assert merged(found, wanted) == {
        "a": {"b": 3, "c": 2},
        "d": [{"name": "X", "value": "2", "more": True}],
        "e": 5,
    }
    assert found["a"] == {"b": 1, "c": 2}
