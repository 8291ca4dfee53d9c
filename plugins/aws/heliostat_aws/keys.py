"""Where coordinator and worker leave word for each other in the artifact store. A lifecycle rule lets it expire."""

from __future__ import annotations


def cancel_key(job_id: str, call_id: str) -> str:
    """Is there: the call is to end."""
    return f"control/{job_id}/cancel/{call_id}"


def claim_key(job_id: str, call_id: str) -> str:
    """Is there: an invocation answers this call, and any other that was given it is a duplicate."""
    return f"control/{job_id}/claims/{call_id}"


def result_key(job_id: str, call_id: str) -> str:
    """A result that was too large to be sent."""
    return f"control/{job_id}/results/{call_id}.json"
