"""What is wanted beside what is found, field by field.

Only what is wanted counts: fields of which it says nothing are whatever Google, or somebody else, has made of them.
Lists of named things, such as variables, are compared by name, other lists of things by place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct


class Difference(Struct, frozen=True):
    path: str
    """Such as `template.containers[0].image`."""
    found: Any
    wanted: Any
    """None: it is to go."""

    @property
    def line(self) -> str:
        return f"{self.path}: {_text(self.found)} -> {_text(self.wanted)}"


def differences(found: Any, wanted: Any, path: str = "") -> Iterator[Difference]:
    if isinstance(wanted, Mapping):
        known = found if isinstance(found, Mapping) else {}
        for key, value in wanted.items():
            yield from differences(known.get(key), value, f"{path}.{key}".lstrip("."))
    elif _is_of_things(wanted):
        pairs, others = _pairs(found, wanted)
        for label, before, after in pairs:
            yield from differences(before, after, f"{path}[{label}]")
        for label, before in others:
            yield Difference(f"{path}[{label}]", before, None)
    elif found != wanted:
        yield Difference(path, found, wanted)


def merged(found: Any, wanted: Any) -> Any:
    """What is found, with what is wanted in its place."""
    if isinstance(wanted, Mapping):
        known = found if isinstance(found, Mapping) else {}
        return {**known, **{key: merged(known.get(key), value) for key, value in wanted.items()}}
    if _is_of_things(wanted):
        return [merged(before, after) for _, before, after in _pairs(found, wanted)[0]]
    return wanted


def _is_of_things(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _pairs(found: Any, wanted: Sequence[Any]) -> tuple[list[tuple[str, Any, Any]], list[tuple[str, Any]]]:
    """Label, what is found and what is wanted; then the label and what is found of those that are not wanted."""
    there = found if isinstance(found, list) else []
    is_named = all("name" in item for item in wanted)
    known = {str(item.get("name", "")) if is_named else str(place): item for place, item in enumerate(there)}
    labels = [str(item["name"]) if is_named else str(place) for place, item in enumerate(wanted)]
    pairs = [(label, known.get(label), item) for label, item in zip(labels, wanted, strict=True)]
    return pairs, [(label, item) for label, item in known.items() if label not in labels]


def _text(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value)
