"""The JSON Schema of job documents."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec

from heliostat.model.spec import JobSpec
from heliostat.planning.short_form import ShortForm

_DETAILS: dict[str, dict[str, dict[str, Any]]] = {
    "JobSpec": {
        "mergeCommand": {"description": "A command that joins the chunk outputs; not together with merge."},
        "assetsUrl": {"description": "Where a worker that is not on this machine finds the inputs."},
        "inputs": {"default": [], "description": "Files that the commands read, for workers elsewhere: patterns."},
        "progress": {"description": "A regular expression for lines of output that tell frames done."},
    },
    "Metadata": {
        "totalFrames": {"minimum": 0, "description": "Frames in all chunks together."},
        "duration": {"minimum": 0, "description": "Seconds."},
        "ranges": {"description": 'The frames, such as "1-240:2,300", when they are not one run without gaps.'},
    },
    "Chunk": {
        "startFrame": {"minimum": 0},
        "frameCount": {"minimum": 1},
        "step": {"minimum": 1, "description": "The distance between one frame and the next."},
        "outputFile": {"minLength": 1, "description": "Relative to the job directory, or absolute inside it."},
        "command": {"description": "A list of arguments, or a string that is split as a POSIX shell splits words."},
    },
    "ShortForm": {
        "inputs": {"default": []},
        "chunkSize": {"minimum": 1},
        "chunkCount": {"minimum": 1},
        "width": {"minimum": 1},
        "height": {"minimum": 1},
    },
}
"""What the types do not say."""


def job_schema(ref_template: str = "#/$defs/{name}") -> dict[str, Any]:
    """One schema, draft 2020-12, for documents in the long and in the short form. `ref_template` is for those who put
    its `$defs` elsewhere."""
    (long, short), components = msgspec.json.schema_components(
        [JobSpec, ShortForm], schema_hook=_other_types, ref_template=ref_template
    )
    for name, details in _DETAILS.items():
        for key, detail in details.items():
            components[name]["properties"][key].update(detail)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Heliostat job",
        "anyOf": [
            {"title": "Long form: every chunk is listed", **long},
            {"title": "Short form: frames, and one command for all chunks", **short},
        ],
        "$defs": components,
    }


def _other_types(kind: type) -> dict[str, Any]:
    if kind is Fraction:
        return {
            "description": 'Frames a second: 24, 23.976 or "30000/1001".',
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^\s*[0-9]{1,20}(\.[0-9]{0,20}|/[0-9]{1,20})?\s*$"},
            ],
        }
    raise NotImplementedError(f"no schema for {kind.__name__}")
