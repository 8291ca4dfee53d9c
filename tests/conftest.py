"""What tests of the core and of the plugins need."""

from __future__ import annotations

import datetime as dt
import gc
import ipaddress
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""Tests start many interpreters: each would compile what it imports anew."""
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
"""As `uv run` has it: the `python` of thousands of commands is this one, not a shell script that looks for one."""


gc.disable()


def pytest_collection_finish() -> None:
    """All that was imported, and the thousands of tests, stay to the end: no collection need look through them."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take a minute come first, so that none is left for the end, when all but one process have nothing to
    do."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[[], Path]:
    """Makes a file in PEM: a certificate for 127.0.0.1 that has signed itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def make() -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .sign(key, hashes.SHA256())
        )
        file = tmp_path / "here.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
        return file

    return make
