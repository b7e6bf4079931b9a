"""A full storage refuses what is new, says so, and recovers; what was accepted still fits."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shared.errors import StorageUnavailable
from shared.job import Status
from shared.queue.connection import Connection
from shared.storage import LocalStorage, S3Storage
from tests.api.conftest import assert_problem
from tests.hostile.site import ALPHA, Site, photo

X = photo((100, 100, 500, 300))
MB = 1_000_000


class Disk(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The free bytes that the volume reports, as its only item."""
    free = [500 * MB]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(1000 * MB, 0, free[0]))
    return free


@pytest.fixture
def site(connection: Connection, tmp_path: Path) -> Iterator[Site]:
    made = Site(connection, LocalStorage(tmp_path / "storage"))
    made.services.room._remembered = 0.0
    yield made
    made.close()


def storage_check(site: Site) -> str:
    return str(site.client.get("/health/ready").json["checks"]["storage"])


def test_below_the_reserve_only_accepted_jobs_go_on(site: Site, disk: list[int]) -> None:
    first = site.cut(ALPHA, X)
    accepted = site.submit(ALPHA, job=first.id).json["id"]
    upload = site.upload(ALPHA, len(X))
    disk[0] = 49 * MB  # 5% of the volume are reserved
    jobs = {"job": first.id, "render": first.id, "url": "https://example.com/a.png"}
    for kind, named in jobs.items():
        assert_problem(site.submit(ALPHA, None, **{kind: named}), 503, "storage_unavailable")
    assert_problem(site.submit(ALPHA, X), 503, "storage_unavailable")
    assert_problem(site.client.put(upload["url"], data=X), 503, "storage_unavailable")
    announced = site.client.post("/v1/uploads", json={"bytes": 9}, headers=ALPHA)
    assert_problem(announced, 503, "storage_unavailable")
    assert "nearly full" in storage_check(site)
    assert site.work(accepted).status is Status.SUCCEEDED
    disk[0] = 51 * MB
    assert storage_check(site) == "ok"
    assert site.cut(ALPHA, X).status is Status.SUCCEEDED


def test_the_reserve_can_be_set(tmp_path: Path, disk: list[int]) -> None:
    disk[0] = 3 * MB
    LocalStorage(tmp_path, reserve=2 * MB).require_room()
    with pytest.raises(StorageUnavailable):
        LocalStorage(tmp_path, reserve=4 * MB).require_room()


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MB."""
    place = tmp_path / "volume"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.call(mount, stderr=subprocess.DEVNULL):
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill_up(path: Path) -> None:
    """Write to a file until its volume is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_really_full_volume_loses_nothing(connection: Connection, volume: Path) -> None:
    site = Site(connection, LocalStorage(volume / "storage"))
    site.services.room._remembered = 0.0
    job_id = site.submit(ALPHA, X).json["id"]
    fill = volume / "fill"
    fill_up(fill)
    assert_problem(site.submit(ALPHA, X), 503, "storage_unavailable")
    assert "nearly full" in storage_check(site)
    assert site.work(job_id).status is Status.QUEUED
    assert list((volume / "storage" / ".partial").iterdir()) == []
    fill.unlink()
    assert site.work(job_id).status is Status.SUCCEEDED
    assert storage_check(site) == "ok"
    site.close()


class Quota(http.server.BaseHTTPRequestHandler):
    """An S3 server whose writes are answered with `status`."""

    status = 200

    def log_message(self, *_: Any) -> None:
        pass

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(Quota.status)

    def do_HEAD(self) -> None:
        self._answer(200)

    def do_DELETE(self) -> None:
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.mark.parametrize("status", [403, 413, 507])
def test_a_bucket_that_takes_no_more_is_noticed(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quota) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        bucket = S3Storage("nukki", endpoint=url, access_key="key", secret_key="secret")
        monkeypatch.setattr(Quota, "status", status)
        with pytest.raises(StorageUnavailable):
            bucket.require_room()
        monkeypatch.setattr(Quota, "status", 200)
        bucket.require_room()
        server.shutdown()
