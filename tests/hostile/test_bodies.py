"""Bodies are refused at their headers, and what is held of them is bounded."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.bodies import Bodies, Budget, Receipt
from shared.errors import Busy
from tests.api.conftest import Client, assert_problem, submit
from tests.hostile.conftest import ALPHA, KEY, Serve

KEYS = f"alpha:{KEY}"


def _head(length: int, extra: str = "") -> bytes:
    return (
        "POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n{extra}\r\n"
    ).encode()


def _first_answer(port: int, request: bytes) -> bytes:
    """What the server answers to a request whose body has not been sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(1000)


@pytest.mark.parametrize(
    ("key", "length", "status"),
    [
        ("", 40_000_000, b"401"),
        ("X-Api-Key: wrong-key-0123456789\r\n", 40_000_000, b"401"),
        (ALPHA, 400_000_000, b"413"),
    ],
    ids=["no key", "wrong key", "too long"],
)
def test_a_body_is_refused_at_its_headers(
    serve: Serve, key: str, length: int, status: bytes
) -> None:
    server = serve(API_KEYS=KEYS)
    answer = _first_answer(server.port, _head(length, key))
    assert answer.startswith(b"HTTP/1.1 " + status)
    # A caller that asks first is not told to send it.
    answer = _first_answer(server.port, _head(length, f"{key}Expect: 100-continue\r\n"))
    assert answer.startswith(b"HTTP/1.1 " + status)
    answer = _first_answer(server.port, _head(1000, f"{ALPHA}Expect: 100-continue\r\n"))
    assert answer.startswith(b"HTTP/1.1 100 ")


def test_a_caller_that_sends_its_body_anyway_reads_the_refusal(serve: Serve) -> None:
    server = serve(API_KEYS=KEYS)
    for _ in range(5):
        answer = httpx.post(
            f"{server.url}/v1/jobs", files={"image": b"x" * 20_000_000}, trust_env=False, timeout=30
        )
        assert answer.status_code == 401


def test_a_chunked_body_over_the_limit_is_refused(serve: Serve) -> None:
    server = serve(MAX_BYTES="1000000")

    def pieces() -> Iterator[bytes]:
        yield b"--b\r\nContent-Disposition: form-data; name=image; filename=p\r\n\r\n"
        for _ in range(600):
            yield b"x" * 100_000

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = httpx.post(
        f"{server.url}/v1/jobs", content=pieces(), headers=kind, trust_env=False, timeout=30
    )
    assert answer.status_code == 413


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_temporary_folder_is_503(serve: Serve, sample: bytes, small_disk: Path) -> None:
    server = serve(env={"TMPDIR": str(small_disk)})
    for _ in range(3):
        answer = httpx.post(
            f"{server.url}/v1/jobs", files={"image": b"x" * 8_000_000}, trust_env=False, timeout=30
        )
        assert answer.status_code == 503
        assert answer.json()["code"] == "busy"
    answer = httpx.post(f"{server.url}/v1/jobs", files={"image": sample}, trust_env=False)
    assert answer.status_code == 202


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE])
def test_no_room_for_a_body_is_503(
    client: Client, sample: bytes, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Receipt, "file", full)
    assert_problem(submit(client, sample), 503, "busy")


def test_bodies_over_the_budget_are_503(
    client: Client, sample: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = client.application.extensions["nukki"].bodies
    monkeypatch.setattr(bodies, "spool", Budget(len(sample)))  # an address may have half of it
    assert_problem(submit(client, sample), 503, "busy")
    monkeypatch.setattr(bodies, "spool", Budget(2 * len(sample)))
    for _ in range(3):  # each gives back what it held
        assert submit(client, sample).status_code == 202


def test_an_address_may_hold_half() -> None:
    budget = Budget(100)
    budget.take("a", 50)
    with pytest.raises(Busy):
        budget.take("a", 1)
    budget.take("b", 50)
    with pytest.raises(Busy):
        budget.take("c", 1)
    budget.give_back("a", 10)
    budget.take("c", 10)


def test_a_file_counts_on_the_disk_and_not_in_memory() -> None:
    bodies = Bodies(1000)
    receipt = Receipt(bodies, "a")
    receipt.read(100)
    with receipt.file() as file:
        file.write(b"x" * 90)
    with pytest.raises(Busy):
        bodies.spool.take("a", 411)
    receipt.close()
    bodies.spool.take("a", 500)
    assert bodies.open == 0


def test_another_error_of_the_system_is_500(
    client: Client, sample: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Receipt, "file", fail)
    assert_problem(submit(client, sample), 500, "internal")
