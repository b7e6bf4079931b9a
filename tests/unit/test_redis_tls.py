"""Redis behind TLS: records and doorbell accept only a certificate of the given authority."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from nukki.redis_server import free_port
from shared.errors import QueueUnavailable
from shared.job import Lane
from shared.queue.address import broker_url
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES, Doorbell, make_celery
from shared.settings import RedisSettings
from shared.testing import RedisProcess
from tests.conftest import REDIS_SERVERS, missing


@dataclass(frozen=True, slots=True)
class Guarded:
    """A Redis with a plain and a TLS port, and the authority of its certificate."""

    plain: str
    url: str
    authority: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    server = REDIS_SERVERS["debian 7.0"]  # the wheel's is built without TLS
    if server is None:
        missing("redis-server")
    folder, authority, port = tmp_path_factory.mktemp("tls"), trustme.CA(), free_port()
    certificate = authority.issue_cert("127.0.0.1")
    files = {name: folder / f"{name}.pem" for name in ("authority", "certificate", "key")}
    authority.cert_pem.write_to_path(files["authority"])
    certificate.cert_chain_pems[0].write_to_path(files["certificate"])
    certificate.private_key_pem.write_to_path(files["key"])
    options = {
        "--tls-port": port,
        "--tls-cert-file": files["certificate"],
        "--tls-key-file": files["key"],
        "--tls-auth-clients": "no",
        "--tls-ca-cert-file": files["authority"],
    }
    given = [str(part) for pair in options.items() for part in pair]
    with RedisProcess(str(server), free_port(), *given) as redis:
        yield Guarded(redis.url, f"rediss://127.0.0.1:{port}/0", files["authority"])


def ring(url: str) -> bool:
    return Doorbell(make_celery(RedisSettings.load(redis_url=url))).ring("job_1", Lane.BULK)


def test_records_and_doorbell_work_over_tls(guarded: Guarded) -> None:
    url = f"{guarded.url}?ssl_ca_certs={guarded.authority}"
    Connection(url).ping()
    assert ring(url)
    assert Connection(guarded.plain).redis.llen(QUEUES[Lane.BULK]) == 1


def test_an_untrusted_certificate_is_refused(guarded: Guarded) -> None:
    url = guarded.url.replace(
        "/0", "/1"
    )  # kombu pools connections per process, ignoring TLS options
    with pytest.raises(QueueUnavailable) as failure:
        Connection(url).ping()
    assert "certificate" in str(failure.value.__cause__)
    assert not ring(url)


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://:secret@host:6379/0", "redis://:secret@host:6379/0"),
        ("rediss://:secret@host:6379/0", "rediss://:secret@host:6379/0?ssl_cert_reqs=required"),
        (
            "rediss://host/0?ssl_ca_certs=/ca.pem",
            "rediss://host/0?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required",
        ),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/0?ssl_cert_reqs=none"),
        ("sentinel://one,two:1/main/2", "sentinel://one:26379/2;sentinel://two:1/2"),
    ],
)
def test_the_broker_requires_a_certificate_by_default(url: str, broker: str) -> None:
    assert broker_url(url) == broker
