"""Certificates are checked against the name, although the connection goes to an address."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.errors import (
    UrlUnavailable,
)
from tests.web import Server, answer, fetch


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ssl.SSLContext]:
    """A server's side of TLS under a certificate for this name, which our side trusts."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def make(name: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (tmp_path / "trusted.pem").write_bytes(certificate.public_bytes(pem))
        (tmp_path / "key.pem").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "trusted.pem", tmp_path / "key.pem")
        return context

    return make


def test_a_certificate_for_the_name_is_accepted_when_connecting_by_address(
    certified: Callable[[str], ssl.SSLContext], dns: dict[str, Any]
) -> None:
    dns["photos.test"] = ["127.0.0.1"]
    with Server({"/photo": answer(200, b"the photo")}, certified("photos.test")) as server:
        assert fetch(server.url(host="photos.test")) == b"the photo"


def test_a_certificate_for_another_name_is_refused(
    certified: Callable[[str], ssl.SSLContext], dns: dict[str, Any]
) -> None:
    dns["photos.test"] = ["127.0.0.1"]
    with Server({"/photo": answer(200, b"the photo")}, certified("other.test")) as server:
        with pytest.raises(UrlUnavailable):
            fetch(server.url(host="photos.test"))
        assert server.asked == []


def test_a_certificate_for_a_name_does_not_cover_its_address(
    certified: Callable[[str], ssl.SSLContext],
) -> None:
    with (
        Server({"/photo": answer(200, b"the photo")}, certified("photos.test")) as server,
        pytest.raises(UrlUnavailable),
    ):
        fetch(server.url())


def test_an_untrusted_certificate_is_refused(
    certified: Callable[[str], ssl.SSLContext],
    dns: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dns["photos.test"] = ["127.0.0.1"]
    with Server({"/photo": answer(200, b"the photo")}, certified("photos.test")) as server:
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(UrlUnavailable):
            fetch(server.url(host="photos.test"))
