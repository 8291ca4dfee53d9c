"""Links by which anybody can fetch an artifact for a while."""

from __future__ import annotations

import asyncio
import http.server
import importlib
import json
import ssl
import threading
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth.compute_engine import _metadata
from google_accounts import EMAIL, Accounts, private_key
from strict_gcs import StrictGcs

from heliostat.errors import ArtifactError
from heliostat_gcp.artifacts import GcsArtifactStore
from heliostat_gcp.options import GcsOptions


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.fixture
def accounts() -> Iterator[Accounts]:
    with Accounts() as accounts:
        yield accounts


@pytest.fixture
async def signing(
    server: StrictGcs, bucket: Any, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[GcsArtifactStore]:
    """Opened with the key of a service account."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(accounts.key_file(tmp_path)))
    async with GcsArtifactStore(GcsOptions(url=f"gs://{bucket.name}/heliostat?project=studio")) as store:
        yield store


async def test_a_link_fetches_the_artifact_without_credentials(
    signing: GcsArtifactStore, server: StrictGcs, film: Path
) -> None:
    for key in ("jobs/1/film", "a b/☀ +&?#.mp4"):
        await signing.put(key, film)
        url = await signing.presigned_url(key, 600)
        assert query(url)["X-Goog-Algorithm"] == "GOOG4-RSA-SHA256"
        assert query(url)["X-Goog-Credential"].startswith(EMAIL)
        assert query(url)["X-Goog-Expires"] == "600"
        assert query(url)["userProject"] == "studio"
        assert len(bytes.fromhex(query(url)["X-Goog-Signature"])) == 256
        assert await asyncio.to_thread(fetch, url) == b"film"
        assert server.requests[-1].operation == "link"
        assert "authorization" not in server.requests[-1].headers


async def test_a_link_to_nothing_finds_nothing(signing: GcsArtifactStore) -> None:
    url = await signing.presigned_url("nothing", 600)
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(fetch, url)
    refused.value.close()
    assert refused.value.code == 404


@pytest.mark.parametrize("seconds", [-1, 0, 7 * 86_400 + 1])
async def test_a_link_lasts_at_most_seven_days(signing: GcsArtifactStore, seconds: int) -> None:
    assert query(await signing.presigned_url("film", 7 * 86_400))["X-Goog-Expires"] == "604800"
    with pytest.raises(ArtifactError, match=f"a link cannot last {seconds} seconds; choose between 1 and 604800"):
        await signing.presigned_url("film", seconds)


async def test_nobody_signs_nothing(store: GcsArtifactStore) -> None:
    with pytest.raises(ArtifactError, match=r"^these Google credentials cannot sign links; use those of a service acc"):
        await store.presigned_url("film", 600)


async def test_credentials_of_a_person_sign_nothing(
    server: StrictGcs, bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    person = {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}
    (tmp_path / "person.json").write_text(json.dumps(person))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "person.json"))
    async with GcsArtifactStore(GcsOptions(url=f"gs://{bucket.name}")) as store:
        with pytest.raises(ArtifactError, match=r"^these Google credentials cannot sign links; use those of a service"):
            await store.presigned_url("film", 600)


# --- on Google's machines ---------------------------------------------------------------------------------------------


class Signatures(http.server.ThreadingHTTPServer):
    """A proxy behind which the IAM Service Account Credentials API signs what it is given."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), SignaturesHandler)
        self.signed: list[bytes] = []
        self.asked: list[tuple[str, str | None]] = []
        """Path, authorization."""
        self.refuses = False
        self.certificate = folder / "certificate.pem"
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certify("iamcredentials.googleapis.com", folder / "key.pem")
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def _certify(self, name: str, key: Path) -> None:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(private_key().public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(private_key(), SHA256())
        )
        self.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        key.write_bytes(private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.tls.load_cert_chain(self.certificate, key)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class SignaturesHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Signatures

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_POST(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        payload = b64decode(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["payload"])
        if self.server.refuses:
            status, answer = 403, {"error": {"message": "Permission iam.serviceAccounts.signBlob denied."}}
        else:
            self.server.signed.append(private_key().sign(payload, PKCS1v15(), SHA256()))
            status, answer = 200, {"signedBlob": b64encode(self.server.signed[-1]).decode()}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def signatures(accounts: Accounts, tmp_path: Path) -> Iterator[Signatures]:
    """This machine is one of Google's, with a service account and without its key."""
    with pytest.MonkeyPatch.context() as patch, Signatures(tmp_path) as signatures:
        patch.setenv("GCE_METADATA_HOST", accounts.address)
        patch.setenv("GCE_METADATA_IP", accounts.address)
        patch.delenv("NO_GCE_CHECK")
        patch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{signatures.server_port}")
        patch.setenv("REQUESTS_CA_BUNDLE", str(signatures.certificate))
        importlib.reload(_metadata)  # it looks at the environment when it is imported
        yield signatures
    importlib.reload(_metadata)


async def test_without_a_key_google_signs_for_the_service_account(signatures: Signatures) -> None:
    async with GcsArtifactStore(GcsOptions(url="gs://mirrors")) as store:
        url = await store.presigned_url("film", 600)
    assert url.startswith("https://storage.googleapis.com/mirrors/film?")
    assert query(url)["X-Goog-Credential"].startswith(EMAIL)
    assert bytes.fromhex(query(url)["X-Goog-Signature"]) == signatures.signed[0]
    ((path, authorization),) = signatures.asked
    assert path.startswith(f"/v1/projects/-/serviceAccounts/{EMAIL}:signBlob")
    assert authorization == "Bearer token-1"


async def test_a_service_account_that_may_not_sign_is_named(signatures: Signatures) -> None:
    signatures.refuses = True
    async with GcsArtifactStore(GcsOptions(url="gs://mirrors")) as store:
        with pytest.raises(
            ArtifactError,
            match=r"^Google does not sign links for the service account \(.*signBlob denied.*\); give it the role",
        ):
            await store.presigned_url("film", 600)
