"""Who Cloud Storage is told that is asking, and where it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google_accounts import Accounts
from strict_gcs import Answer, Request, StrictGcs, error

from heliostat.errors import ArtifactError, Misconfigured
from heliostat_gcp.artifacts import GcsArtifactStore
from heliostat_gcp.options import GcsOptions

GOOGLE = "https://storage.googleapis.com"


@pytest.fixture
def server(fake_gcs: str) -> Iterator[StrictGcs]:
    with StrictGcs(fake_gcs) as server:
        yield server


@pytest.fixture
def accounts() -> Iterator[Accounts]:
    with Accounts() as accounts:
        yield accounts


def at(server: StrictGcs, bucket: Any) -> GcsArtifactStore:
    return GcsArtifactStore(GcsOptions(url=f"gs://{bucket.name}?endpoint_url={server.url}"))


def told(server: StrictGcs) -> set[str | None]:
    """As whom the server was asked."""
    return {request.headers.get("authorization") for request in server.requests}


async def test_a_service_account_is_who_asks(
    server: StrictGcs, bucket: Any, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(accounts.key_file(tmp_path)))
    async with at(server, bucket) as store:
        assert await store.list() == []
        assert await store.stat("x") is None
    assert told(server) == {"Bearer token-1"}
    assert accounts.tokens == 1


async def test_a_token_that_is_not_known_any_more_is_renewed(
    server: StrictGcs, bucket: Any, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(accounts.key_file(tmp_path)))

    def refuse(request: Request) -> Answer | None:
        return error(401, "authError") if request.headers["authorization"] == "Bearer token-1" else None

    server.intervene = refuse
    async with at(server, bucket) as store:
        assert await store.list() == []
    assert told(server) == {"Bearer token-1", "Bearer token-2"}


async def test_credentials_that_are_not_known_are_named(
    server: StrictGcs, bucket: Any, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(accounts.key_file(tmp_path)))
    server.intervene = lambda request: error(401, "authError")
    async with at(server, bucket) as store:
        with pytest.raises(ArtifactError, match=f"^gcs://{bucket.name}: Google does not know these credentials, or"):
            await store.list()


async def test_credentials_that_have_expired_are_named(
    server: StrictGcs, bucket: Any, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(accounts.key_file(tmp_path)))
    accounts.refuses = True
    async with at(server, bucket) as store:
        with pytest.raises(
            ArtifactError, match=r"the Google credentials have expired or do not work \(.*invalid_grant.*\); log in"
        ):
            await store.list()
    assert server.requests == []


async def test_an_emulator_is_asked_by_nobody(
    server: StrictGcs, bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Least of all by whoever has logged in to Google on this machine."""
    person = {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}
    (tmp_path / "application_default_credentials.json").write_text(json.dumps(person))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    monkeypatch.delenv("NO_GCE_CHECK")
    async with at(server, bucket) as store:
        assert await store.list() == []
    for address in (server.url, server.url.removeprefix("http://")):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        async with GcsArtifactStore(GcsOptions(url=f"gs://{bucket.name}")) as store:
            assert await store.list() == []
    assert len(server.requests) == 3
    assert told(server) == {None}


@pytest.mark.parametrize("query", ["", f"?endpoint_url={GOOGLE}", "?endpoint_url=https://storage-x.p.googleapis.com/"])
async def test_google_s_own_service_is_not_opened_without_credentials(query: str) -> None:
    with pytest.raises(Misconfigured, match=r"^there are no Google credentials that work \(.*\); log in with `gcloud"):
        await GcsArtifactStore(GcsOptions(url=f"gs://mirrors{query}")).__aenter__()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heliostat gcs")]


@pytest.mark.parametrize("content", ["", "{}", '{"type": "service_account"}', None])
async def test_a_file_that_holds_no_credentials_is_named(
    content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(Misconfigured, match=r"^there are no Google credentials that work \(.*\); log in with") as error:
        await GcsArtifactStore(GcsOptions(url="gs://mirrors")).__aenter__()
    assert "\n" not in str(error.value)


async def test_opening_asks_for_nothing(accounts: Accounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(accounts.key_file(tmp_path)))
    async with GcsArtifactStore(GcsOptions(url="gs://mirrors")) as store:
        assert store._open_objects._session.endpoint == GOOGLE
    assert accounts.tokens == 0


@pytest.mark.parametrize("address", ["nowhere", "ftp://x", "http://"])
async def test_an_endpoint_that_is_no_address_is_named(address: str) -> None:
    with pytest.raises(Misconfigured, match=f"^'{address}' is no address of Cloud Storage; write endpoint_url=https"):
        await GcsArtifactStore(GcsOptions(url=f"gs://mirrors?endpoint_url={address}")).__aenter__()


async def test_a_clock_that_is_wrong_is_named(
    server: StrictGcs, bucket: Any, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Google does not accept what bears another time than its own."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(accounts.key_file(tmp_path)))
    accounts.ahead = -1200.0
    async with at(server, bucket) as store:
        with pytest.raises(ArtifactError, match=r"refused for the time in them \(.*\); set this machine's clock right"):
            await store.list()
