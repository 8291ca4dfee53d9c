"""Every error of Google's libraries about Cloud Run has its cause, and a sentence that says what to do."""

from __future__ import annotations

import inspect

import pytest
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from heliostat.errors import AttemptError, Misconfigured, Throttled, WorkerLost
from heliostat_gcp.errors import ADVICE, LOST, THROTTLED, of_call


def kinds(module: object, base: type) -> list[type]:
    """Those that the module itself defines."""
    found = (kind for _, kind in inspect.getmembers(module, inspect.isclass))
    return [kind for kind in found if issubclass(kind, base) and kind.__module__ == getattr(module, "__name__", "")]


@pytest.mark.parametrize("kind", kinds(api, api.GoogleAPIError), ids=lambda kind: kind.__name__)
def test_each_answer_of_the_api_is_known(kind: type):
    """A new one fails here until somebody has decided what it means."""
    assert sum(kind.__name__ in names for names in (ADVICE, LOST, THROTTLED)) == 1


@pytest.mark.parametrize("names", [ADVICE, LOST, THROTTLED])
def test_nothing_is_known_that_is_not_there(names: object):
    assert [name for name in names if not hasattr(api, name)] == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (api.ResourceExhausted("Quota exceeded."), Throttled, r"Google throttles job film \(Quota exceeded\)"),
        (api.TooManyRequests("slow down"), Throttled, "throttles"),
        (api.ServiceUnavailable("gone"), WorkerLost, "Google failed at job film"),
        (api.DeadlineExceeded("late"), WorkerLost, "late"),
        (api.PermissionDenied("run.jobs.run"), Misconfigured, "run.jobs.run; `heliostat gcp policy` prints"),
        (api.NotFound("no job."), Misconfigured, "job film: no job; deploy it with `heliostat gcp deploy`"),
        (api.RetryError("given up", api.ServiceUnavailable("gone")), WorkerLost, "gone"),
        (api.RetryError("given up", api.Forbidden("not you")), Misconfigured, "not you"),
        (auth.DefaultCredentialsError("none"), Misconfigured, "missing or worn out .*application-default login"),
        (auth.RefreshError("expired"), Misconfigured, "missing or worn out"),
        (auth.RefreshError("try again", retryable=True), WorkerLost, "could not be had"),
        (auth.TransportError("no network"), WorkerLost, "could not be had"),
        (ConnectionResetError(104, "reset"), WorkerLost, "ConnectionResetError"),
        (api.Unknown(""), WorkerLost, "Google failed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_explained(error: Exception, kind: type[AttemptError], message: str):
    explained = of_call(error, "job film")
    assert type(explained) is kind
    with pytest.raises(kind, match=message):
        raise explained


@pytest.mark.parametrize("kind", kinds(auth, auth.GoogleAuthError), ids=lambda kind: kind.__name__)
def test_each_fault_of_credentials_is_known(kind: type):
    assert isinstance(of_call(kind("said"), "job film"), Misconfigured | WorkerLost)
