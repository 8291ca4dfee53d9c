"""Errors as problem documents."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from heliostat import errors
from heliostat.studio.api import refusals
from heliostat.studio.api.refusals import problem_of


async def ask(error: Exception) -> httpx.Response:
    """The answer of a route that raises it."""
    app = FastAPI()
    refusals.install(app)

    @app.get("/")
    async def route() -> None:
        raise error

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.get("/")


@pytest.mark.parametrize(
    "error", [RuntimeError("secret"), errors.HeliostatError("secret"), errors.WorkerLost("secret")]
)
async def test_a_fault_tells_nothing_internal(error: Exception, problem: Any) -> None:
    answer = await ask(error)
    assert problem(answer) == (500, "internal")
    assert "secret" not in answer.text


async def test_a_database_that_is_away_is_told_with_when_to_try_again(problem: Any) -> None:
    answer = await ask(errors.RepositoryUnavailable("password=secret"))
    assert problem(answer) == (503, "repository-unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "secret" not in answer.text


async def test_a_fault_in_a_specification_is_told_with_its_place(problem: Any) -> None:
    answer = await ask(errors.SpecError("there are no frames", path="$.frames"))
    assert problem(answer) == (422, "invalid")
    assert answer.json()["path"] == "$.frames"
    assert answer.json()["detail"] == "there are no frames"


@pytest.mark.parametrize(
    ("kind", "status"),
    [("JobNotFound", 404), ("JobExists", 409), ("WrongState", 409), ("LeaseLost", 409)],
)
def test_what_somebody_asked_for_wrongly_is_told_in_the_errors_own_words(kind: str, status: int) -> None:
    found = problem_of(getattr(errors, kind)("the words"))
    assert (found.status, found.detail) == (status, "the words")
