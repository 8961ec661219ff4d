"""Stores to test: a folder, and buckets of a real server, reached straight, through a proxy, and by TLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.objects.s3 import S3Objects, open_s3
from tests.servers.proxy import Proxy, proxy
from tests.servers.seaweed import REGION, Seaweed, key_files, shared

Opens = Callable[..., S3Objects]


@pytest.fixture(scope="session")
def server() -> Seaweed:
    return shared()


@pytest.fixture(scope="session")
def buckets(server: Seaweed) -> dict[str, str]:
    """One bucket of each kind: a new one costs the server a quarter of a second."""
    return {
        "bucket": server.bucket(),
        "versioned bucket": server.bucket(versioned=True),
        "locked bucket": server.bucket(locked=True),
    }


@pytest.fixture(scope="session")
def calm(server: Seaweed) -> Iterator[Proxy]:
    with proxy(server.endpoint) as board:
        yield board


@pytest.fixture
def between(calm: Proxy) -> Iterator[Proxy]:
    """The proxy, for a test that switches its faults."""
    calm.calm()
    yield calm
    calm.calm()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signed itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture(scope="session")
def secured(server: Seaweed, authority: Path) -> Iterator[Proxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    with proxy(server.endpoint, context) as board:
        yield board


@pytest.fixture
def opens(server: Seaweed, buckets: dict[str, str], tmp_path: Path) -> Opens:
    """Opens a bucket of the server, under a prefix of its own."""

    def opened(
        *, bucket: str | None = None, endpoint: str | None = None, prefix: str | None = None, who: str = "house",
        secret: str | None = None, secure: bool = False, ca: Path | None = None, deadline: float = 30.0,
    ) -> S3Objects:  # fmt: skip
        access, secret_file = key_files(tmp_path / "keys", who, secret)
        return open_s3(
            endpoint=endpoint or server.endpoint, bucket=bucket or buckets["bucket"],
            prefix=f"city/{uuid4()}" if prefix is None else prefix, region=REGION,
            access_key=access, secret_key=secret_file, secure=secure, ca=ca, deadline=deadline,
        )  # fmt: skip

    return opened
