"""The OpenAPI document: paths and parameters from the routes, schemas from the records, in one place."""

from __future__ import annotations

import functools
from fractions import Fraction
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from heliostat import Event, JobDetails, JobSpec, JobView, __version__, job_schema, to_json
from heliostat.studio.api import records
from heliostat.studio.problems import MEDIA_TYPE, Problem

PREFIX: Final = "/api/v1"
_REFERENCE: Final = "#/components/schemas/{name}"

RECORDS: Final = (
    records.JobPage,
    records.ChunkPage,
    records.AttemptPage,
    records.PluginList,
    records.Version,
    records.Submission,
    records.UploadTerms,
    records.JobDeleted,
    JobDetails,
    JobView,
    JobSpec,
    Problem,
)
"""Whatever an answer or a request is made of; what they are made of comes with them."""


def reference(name: str) -> dict[str, Any]:
    return {"$ref": _REFERENCE.format(name=name)}


def answers(kind: type | None, *problems: int, status: int = 200, media_type: str = "application/json") -> Any:
    """Arguments of a route that answers with such a record, or, with None, with text or bytes. `problems`: the statuses
    that it refuses with."""
    content = reference(kind.__name__) if kind is not None else {"type": "string"}
    responses: dict[int | str, dict[str, Any]] = {
        status: {
            "description": HTTPStatus(status).phrase,
            **({} if status == 204 else {"content": {media_type: {"schema": content}}}),
        }
    }
    for number in problems:
        responses[number] = refusal(HTTPStatus(number).phrase)
    return {"response_class": Response, "status_code": status, "responses": responses}


def file_answers(media_type: str, *problems: int, parts: bool = True) -> Any:
    """Arguments of a route that answers with a file, or, with `parts`, a range of it, unless the caller has it."""
    found = answers(None, *problems, media_type=media_type)
    found["responses"][304] = {"description": HTTPStatus.NOT_MODIFIED.phrase}
    if parts:
        content = {media_type: {"schema": {"type": "string"}}}
        found["responses"][206] = {"description": HTTPStatus.PARTIAL_CONTENT.phrase, "content": content}
        found["responses"][416] = refusal(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE.phrase)
    return found


def refusal(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": reference("Problem")}}}


def answer(record: object, status: int = 200, **headers: str) -> Response:
    return Response(to_json(record), status_code=status, media_type="application/json", headers=headers)


def describe(api: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if api.openapi_schema is None:
        document = get_openapi(
            title="Heliostat Studio",
            version=__version__,
            description="Jobs of a Heliostat database. Every error is a problem document (RFC 9457).",
            routes=api.routes,
            servers=[{"url": PREFIX}],
        )
        components = document.setdefault("components", {})
        components["schemas"] = schemas()
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{}, {"token": []}]
        for operation in (one for path in document["paths"].values() for one in path.values()):
            responses = operation["responses"]
            if "422" in responses:
                responses["422"] = refusal("What was sent is not valid")
            responses["default"] = refusal("Refused; the status and the problem say why")
        api.openapi_schema = document
    return api.openapi_schema


@functools.cache
def schemas() -> dict[str, Any]:
    """By name, for `components`."""
    (event, *_), components = msgspec.json.schema_components(
        [Event, *RECORDS], schema_hook=_other_types, ref_template=_REFERENCE
    )
    document = job_schema(_REFERENCE)
    del document["$schema"]
    components["Submission"]["properties"]["job"] = reference("JobDocument")
    return {**components, **document.pop("$defs"), "Event": event, "JobDocument": document}


def _other_types(kind: type) -> dict[str, Any]:
    if kind is Fraction:
        return {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]+/[0-9]+$"}]}
    raise NotImplementedError(f"no schema for {kind.__name__}")
