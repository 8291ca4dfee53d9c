"""ID tokens of a service account, of a machine of Google's, and of an account that is impersonated."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.auth import impersonated_credentials
from google_accounts import EMAIL, verify_id_token

from heliostat.errors import Misconfigured
from heliostat_gcp.id_tokens import IdTokens


@pytest.fixture
def key(accounts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    accounts.id_tokens.clear()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(accounts.key_file(tmp_path)))
    return accounts


async def test_both_headers_carry_a_token_for_the_audience(key: Any):
    headers = await IdTokens("film").headers()
    assert set(headers) == {"Authorization", "X-Serverless-Authorization"}
    (value,) = set(headers.values())
    claims = verify_id_token(value.removeprefix("Bearer "))
    assert (claims["aud"], claims["email"]) == ("film", EMAIL)


async def test_many_requests_at_once_share_a_token(key: Any):
    tokens = IdTokens("film")
    await asyncio.gather(*(tokens.headers() for _ in range(20)))
    assert key.id_tokens == ["film"]


async def test_a_token_that_still_holds_does_while_no_other_can_be_had(key: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(key, "lifetime", 200.0)
    tokens = IdTokens("film")
    first = await tokens.headers()
    monkeypatch.setattr(key, "refuses", True)
    assert await tokens.headers() == first
    with pytest.raises(Misconfigured, match="credentials for an ID token are missing or worn out"):
        await IdTokens("film").headers()


async def test_how_long_a_token_holds_is_counted_by_google_s_clock(key: Any, monkeypatch: pytest.MonkeyPatch):
    """For less than five minutes, so that the next request has a new one; where the clock is 20 minutes slow the first
    seems to hold for 25."""
    monkeypatch.setattr(key, "lifetime", 290.0)
    monkeypatch.setattr(key, "ahead", 1200.0)
    tokens = IdTokens("film")
    for _ in range(2):
        await tokens.headers()
    assert key.id_tokens == ["film", "film"]


@pytest.mark.parametrize(
    ("ahead", "said"),
    [(7200.0, r"120 min behind Google's"), (-1200.0, r"20 min ahead of Google's")],
)
async def test_a_clock_that_google_takes_no_time_from_is_named(
    key: Any, monkeypatch: pytest.MonkeyPatch, ahead: float, said: str
):
    monkeypatch.setattr(key, "ahead", ahead)
    with pytest.raises(
        Misconfigured,
        match=rf"^Google makes no ID token, since this machine's clock is {said}; set this machine's clock right, such",
    ):
        await IdTokens("film").headers()


def test_a_machine_of_google_s_has_tokens_made_by_its_metadata_server(accounts: Any):
    """Where the coordinator itself runs on Cloud Run, say. In a process of its own: google-auth looks once where that
    server is, when it is imported."""
    program = (
        "import asyncio; from heliostat_gcp.id_tokens import IdTokens; print(asyncio.run(IdTokens('film').headers()))"
    )
    where = dict.fromkeys(("GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"), accounts.address)
    env = {name: value for name, value in os.environ.items() if name != "NO_GCE_CHECK"} | where
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    headers = ast.literal_eval(done.stdout)
    assert verify_id_token(headers["Authorization"].removeprefix("Bearer "))["aud"] == "film"


async def test_an_account_is_impersonated_by_whoever_may(key: Any, monkeypatch: pytest.MonkeyPatch, impersonation: Any):
    """At a stand-in for the IAM Credentials API, which asks who calls."""
    monkeypatch.setattr(impersonated_credentials.iam, "_IAM_ENDPOINT", impersonation.access_tokens)
    monkeypatch.setattr(impersonated_credentials.iam, "_IAM_IDTOKEN_ENDPOINT", impersonation.id_tokens)
    headers = await IdTokens("film", impersonate="coordinator@studio.iam.gserviceaccount.com").headers()
    claims = verify_id_token(headers["Authorization"].removeprefix("Bearer "))
    assert (claims["aud"], claims["email"]) == ("film", "coordinator@studio.iam.gserviceaccount.com")
    assert impersonation.asked == ["coordinator@studio.iam.gserviceaccount.com"]


async def test_a_user_s_own_credentials_are_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = tmp_path / "user.json"
    own.write_text(
        json.dumps({"type": "authorized_user", "client_id": "1", "client_secret": "2", "refresh_token": "3"})
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(own))
    with pytest.raises(Misconfigured, match=r"cannot make ID tokens .*; set GOOGLE_APPLICATION_CREDENTIALS .*imperson"):
        await IdTokens("film").headers()


async def test_no_credentials_at_all_are_told_so():
    with pytest.raises(Misconfigured, match="cannot make ID tokens"):
        await IdTokens("film").headers()
