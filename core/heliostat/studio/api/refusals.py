"""Whatever goes wrong in a request, as a problem document."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from heliostat import errors
from heliostat.studio.problems import Problem, Refused, problem, problem_response

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

_KNOWN: Final[Mapping[type[errors.HeliostatError], tuple[int, str, str]]] = {
    errors.JobNotFound: (404, "job-not-found", "There is no such job"),
    errors.JobExists: (409, "job-exists", "There is a job of that id already"),
    errors.WrongState: (409, "wrong-state", "The job's state does not allow it"),
    errors.LeaseHeld: (409, "lease-held", "Another coordinator runs the job"),
    errors.LeaseLost: (409, "lease-lost", "Another coordinator has taken the job over"),
    errors.SpecError: (422, "invalid", "What was sent is not valid"),
    errors.PluginError: (422, "not-installed", "Something that was asked for is not installed"),
    errors.RepositoryUnavailable: (503, "repository-unavailable", "The database cannot be used at the moment"),
}
"""Status, name and title. All others are faults in the program or the database: 500."""
_METHODS: Final = ("DELETE", "GET", "HEAD", "POST")
RETRY_AFTER: Final = 2
"""Seconds after which a database may be there again."""

logger = logging.getLogger("heliostat")


def install(api: FastAPI) -> None:
    api.add_exception_handler(errors.HeliostatError, _heliostat_error)
    api.add_exception_handler(Refused, _refused)
    api.add_exception_handler(RequestValidationError, _validation_error)
    api.add_exception_handler(HTTPException, _http_exception)
    api.add_exception_handler(ClientDisconnect, _gone)
    api.add_exception_handler(Exception, _fault)


def problem_of(error: errors.HeliostatError) -> Problem:
    """A fault is told of without anything internal."""
    known = next((_KNOWN[kind] for kind in type(error).__mro__ if kind in _KNOWN), None)
    if known is None:
        return _internal()
    status, name, title = known
    detail = str(error)
    if status == 503:
        detail = "the database cannot be used at the moment; nothing was changed, try again"
    path = error.path if isinstance(error, errors.SpecError) else None
    if path is not None:
        detail = detail.removeprefix(f"{path}: ")
    return problem(status, detail, name=name, title=title, path=path)


def _internal() -> Problem:
    return problem(500, "something went wrong in the server; its log tells more", name="internal")


async def _heliostat_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.HeliostatError)
    found = problem_of(error)
    if found.status >= 500:
        logger.error("%s %s: %s", request.method, request.url.path, error)
    return problem_response(found, {"Retry-After": str(RETRY_AFTER)} if found.status == 503 else None)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem_response(error.problem, error.headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    _, *place = first["loc"]
    detail = str(first["msg"])
    found = problem(422, detail[:1].lower() + detail[1:], name="invalid", title=_KNOWN[errors.SpecError][2])
    return problem_response(
        Problem(
            type=found.type, title=found.title, status=422, detail=found.detail, path=".".join(map(str, place)) or None
        )
    )


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {404: "there is nothing at this address", 405: "this address does not take that method"}
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    return problem_response(problem(error.status_code, details.get(error.status_code) or str(error.detail)), headers)


def _methods(request: Request) -> Iterable[str]:
    """What the address takes. The framework tells only what its first route does."""
    scopes = ({**request.scope, "method": method} for method in _METHODS)
    return [
        scope["method"]
        for scope in scopes
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]


async def _gone(request: Request, error: Exception) -> Response:
    """Nobody reads it, and nothing is wrong with the server."""
    return problem_response(problem(400, "the request ended before all of it was sent", name="malformed"))


async def _fault(request: Request, error: Exception) -> Response:
    return problem_response(_internal())
