"""Transport: TLS from files or named proxies in front, and each wrong file is named."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.cli.serving import check_transport
from sandbox.errors import RequestError
from sandbox.settings import Settings, checked
from tests.unit.gateway.living import living
from tests.unit.gateway.sockets import listening


def make_certificate(folder: Path, name: str = "", passphrase: bytes | None = None) -> None:
    """A certificate for 127.0.0.1 that signs itself, as NAMEc.pem and NAMEk.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandbox")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    locked = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    (folder / f"{name}c.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    (folder / f"{name}k.pem").write_bytes(secret)


def settings_with(**values: object) -> Settings:
    return checked({"log_name": "test/log", "host": "10.0.0.1", **values}, "settings.toml")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder)
    make_certificate(folder, "other-")
    make_certificate(folder, "locked-", b"a passphrase")
    (folder / "empty.pem").write_bytes(b"")
    (folder / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    (folder / "binary.pem").write_bytes(bytes(range(256)))
    (folder / "folder.pem").mkdir()
    return folder


def test_files_are_found_below_the_home(files: Path) -> None:
    context = check_transport(settings_with(tls_certificate="c.pem", tls_key="k.pem"), files)
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("certificate", "key", "code", "named"),
    [
        ("none.pem", "k.pem", "tls_file_failed", "none.pem"),
        ("c.pem", "none.pem", "tls_file_failed", "none.pem"),
        ("folder.pem", "k.pem", "tls_file_failed", "folder.pem"),
        ("empty.pem", "k.pem", "tls_certificate_malformed", "empty.pem"),
        ("garbage.pem", "k.pem", "tls_certificate_malformed", "garbage.pem"),
        ("binary.pem", "k.pem", "tls_certificate_malformed", "binary.pem"),
        ("k.pem", "c.pem", "tls_certificate_malformed", "k.pem"),
        ("c.pem", "empty.pem", "tls_key_malformed", "empty.pem"),
        ("c.pem", "binary.pem", "tls_key_malformed", "binary.pem"),
        ("c.pem", "c.pem", "tls_key_malformed", "c.pem"),
        ("locked-c.pem", "locked-k.pem", "tls_key_malformed", "locked-k.pem"),
        ("c.pem", "other-k.pem", "tls_mismatched", "other-k.pem"),
    ],
)
def test_a_wrong_file_is_named(files: Path, certificate: str, key: str, code: str, named: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_transport(settings_with(tls_certificate=certificate, tls_key=key), files)
    assert caught.value.code == code
    assert str(files / named) in caught.value.params.values()


def test_plain_http_off_loopback_wants_named_proxies(files: Path) -> None:
    with pytest.raises(RequestError, match="serve_insecure"):
        check_transport(settings_with(), files)
    assert check_transport(settings_with(trusted_proxies=["10.0.0.2"]), files) is None
    assert check_transport(settings_with(host="127.0.0.1"), files) is None


# --- over a socket ----------------------------------------------------------------------------------------------------


def test_tls_is_spoken_and_plain_http_is_not(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    files = {"tls_certificate": tmp_path / "c.pem", "tls_key": tmp_path / "k.pem"}
    with living(tmp_path, **files) as alive, listening(alive.house, tmp_path) as url:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "c.pem"))
        with httpx2.Client(verify=trusted, trust_env=False) as client:
            assert client.get(f"{url}/v1/me", headers=alive.who("engineer")).status_code == 200
        with httpx2.Client(trust_env=False) as stranger, pytest.raises(httpx2.ConnectError):
            stranger.get(f"{url}/health/live")
        with httpx2.Client(trust_env=False) as client, pytest.raises(httpx2.RemoteProtocolError):
            client.get(f"{url.replace('https', 'http')}/health/live")


def test_behind_a_proxy_plain_http_is_spoken_to_it_alone(tmp_path: Path) -> None:
    for name, proxies in (("near", ("127.0.0.0/8",)), ("far", ("192.0.2.1",))):
        folder = tmp_path / name
        folder.mkdir()
        with (
            living(folder, host="10.0.0.1", trusted_proxies=proxies) as alive,
            listening(alive.house, folder) as url,
            httpx2.Client(trust_env=False) as client,
        ):
            said = {**alive.who("engineer"), "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
            answers = [client.get(f"{url}/v1/me", headers=h).json() for h in (said, alive.who("engineer"))]
            codes = [answer.get("code") for answer in answers]
            assert codes == ([None, "proxy_insecure"] if name == "near" else ["proxy_unknown"] * 2)
