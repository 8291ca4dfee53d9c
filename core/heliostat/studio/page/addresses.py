"""Where the API has what pages show."""

from __future__ import annotations

from urllib.parse import quote


def job_page(job_id: str) -> str:
    return f"/jobs/{_part(job_id)}"


def film(job_id: str) -> str:
    return f"/api/v1/jobs/{_part(job_id)}/film"


def poster(job_id: str) -> str:
    return f"/api/v1/jobs/{_part(job_id)}/poster"


def output(job_id: str, index: int) -> str:
    """Of a chunk."""
    return f"/api/v1/jobs/{_part(job_id)}/chunks/{index}/output"


def log(job_id: str, index: int, number: int) -> str:
    """Of an attempt."""
    return f"/api/v1/jobs/{_part(job_id)}/chunks/{index}/attempts/{number}/log"


def _part(name: str) -> str:
    """A name as one part of a path. A browser would take `.` and `..` for folders, however they are spelled, but there
    is no such job."""
    return quote(name, safe="")
