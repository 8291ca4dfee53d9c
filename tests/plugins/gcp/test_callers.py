"""Who may have chunks run by a service: checked again by the worker itself."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from google_accounts import EMAIL, id_token

from heliostat_gcp import callers
from heliostat_gcp.callers import Callers

OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def gate(accounts: Any) -> Callers:
    return Callers("film", [EMAIL, "somebody@example.com"], certs_url=f"http://{accounts.address}/certs")


async def test_a_caller_that_is_named_may(gate: Callers):
    assert await gate.allow(id_token("film"))
    assert await gate.allow(id_token("film", email="somebody@example.com"))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "a.b.c",
        id_token("another audience"),
        id_token("film", email="stranger@example.com"),
        id_token("film", email_verified=False),
        id_token("film", iss="https://accounts.example.com"),
        id_token("film", seconds=-120.0),
        id_token("film", key=OTHER),
        f"{id_token('film').rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE",
    ],
    ids=["none", "no token", "no JSON", "audience", "stranger", "unverified", "issuer", "old", "forged", "unsigned"],
)
async def test_nobody_else_may(gate: Callers, token: str):
    assert not await gate.allow(token)


async def test_certificates_are_fetched_once_and_anew_for_a_new_key(
    accounts: Any, gate: Callers, monkeypatch: pytest.MonkeyPatch
):
    before = accounts.certificates
    for _ in range(5):
        assert await gate.allow(id_token("film"))
    assert accounts.certificates - before == 1
    for _ in range(3):  # as somebody might, to have Google asked again and again
        assert not await gate.allow(id_token("film", key=OTHER))
    assert accounts.certificates - before == 1
    monkeypatch.setattr(callers, "AGAIN", 0.0)
    assert not await gate.allow(id_token("film", key=OTHER))
    assert accounts.certificates - before == 2


@pytest.mark.parametrize("token", ["ya29.secret", "secret", "a.secret.c", "secret.secret.secret.secret"])
async def test_no_token_is_written_to_the_log(gate: Callers, caplog: pytest.LogCaptureFixture, token: str):
    caplog.set_level(logging.DEBUG, "heliostat.gcp")
    assert not await gate.allow(token)
    assert "a token is not accepted" in caplog.text
    assert "secret" not in caplog.text


async def test_without_certificates_nobody_may(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    gate = Callers("film", [EMAIL], certs_url="http://127.0.0.1:1/certs")
    assert not await gate.allow(id_token("film"))
    assert "Google's certificates could not be fetched" in caplog.text
