"""The JSON Schema describes both forms of a job document."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from heliostat.model.spec import Chunk, JobSpec, Merge, Metadata
from heliostat.planning.schema import job_schema
from heliostat.planning.short_form import ShortForm


def accepts(schema: Any, value: Any, root: Any) -> bool:
    """As much of JSON Schema as ours uses."""
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    if "anyOf" in schema and not any(accepts(option, value, root) for option in schema["anyOf"]):
        return False
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "null": type(None),
        "integer": int,
        "number": (int, float),
    }
    if "type" in schema and (not isinstance(value, kinds[schema["type"]]) or isinstance(value, bool)):
        return False
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        return all(key in value for key in schema.get("required", ())) and all(
            accepts(properties.get(key, {} if others is True else others or {"anyOf": []}), each, root)
            for key, each in value.items()
        )
    if isinstance(value, list):
        return all(accepts(schema.get("items", {}), each, root) for each in value)
    if isinstance(value, str):
        return re.search(schema.get("pattern", ""), value) is not None and len(value) >= schema.get("minLength", 0)
    if isinstance(value, int | float):
        return bool(value >= schema.get("minimum", value) and value > schema.get("exclusiveMinimum", value - 1))
    return True


LONG = {
    "metadata": {"totalFrames": 1, "fps": 24, "width": 16, "height": 16, "duration": 0.5},
    "chunks": [{"id": 0, "startFrame": 0, "frameCount": 1, "outputFile": "/out/0.mp4", "command": "draw"}],
    "mergeCommand": "join",
}
SHORT = {
    "frames": "1-10:2",
    "fps": "30000/1001",
    "chunkSize": 2,
    "output": "{chunk}.mp4",
    "command": ["draw", "{output}"],
    "merge": {"stitcher": "ffmpeg", "output": "film.mp4", "options": {"audioInput": []}},
}


@pytest.mark.parametrize("document", [LONG, SHORT, SHORT | {"fps": 23.976, "frames": 10}])
def test_documents_are_accepted(document: dict[str, Any]) -> None:
    schema = job_schema()
    assert accepts(schema, document, schema)


@pytest.mark.parametrize(
    "document",
    [
        {},
        LONG | {"metadata": {"totalFrames": 1}},
        LONG | {"titel": "x"},
        LONG | {"chunks": [{}]},
        SHORT | {"fps": "fast"},
        SHORT | {"fps": 0},
        SHORT | {"chunkSize": 0},
        SHORT | {"merge": {"stitcher": "ffmpeg"}},
        SHORT | {"frames": None},
    ],
)
def test_mistakes_are_not(document: dict[str, Any]) -> None:
    schema = job_schema()
    assert not accepts(schema, document, schema)


def test_it_is_a_2020_12_schema_of_two_titled_forms_and_plain_json() -> None:
    schema = job_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert [form["title"].partition(":")[0] for form in schema["anyOf"]] == ["Long form", "Short form"]
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("record", [JobSpec, Metadata, Chunk, Merge, ShortForm])
def test_every_key_is_in_it(record: type[msgspec.Struct]) -> None:
    names = {field.encode_name for field in msgspec.structs.fields(record)}
    assert set(job_schema()["$defs"][record.__name__]["properties"]) == names
