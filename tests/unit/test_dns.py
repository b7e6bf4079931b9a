"""DNS look-ups with a timeout."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest

from shared import dns as names
from shared.errors import UrlUnavailable
from shared.guard import Guard
from shared.outbound import Outbound


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A resolver that never answers during the test; yields the names it was asked for."""
    asked: list[str] = []
    over = threading.Event()
    genuine = socket.getaddrinfo

    def play(host: str, *args: Any, **kwargs: Any) -> Any:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            asked.append(host)
            over.wait(20)
            raise socket.gaierror(-3, "try again") from None
        return genuine(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", play)
    yield asked
    over.set()
    deadline = time.monotonic() + 5  # the next test needs every slot free
    while any(item.name == "look-up" for item in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_address_resolves_to_itself() -> None:
    assert names.look_up("127.0.0.1", 80, timeout=5) == ["127.0.0.1"]


def test_a_hanging_resolver_times_out(hanging: list[str]) -> None:
    began = time.monotonic()
    with pytest.raises(UrlUnavailable, match=r"slow\.test was not looked up in time"):
        names.look_up("slow.test", 80, timeout=0.2)
    assert 0.15 < time.monotonic() - began < 1.0
    assert hanging == ["slow.test"]


@pytest.mark.parametrize("call", ["fetch", "post"])
def test_the_timeout_of_a_call_includes_its_look_up(hanging: list[str], call: str) -> None:
    outbound = Outbound(Guard())
    began = time.monotonic()
    calls: dict[str, Callable[[], object]] = {
        "fetch": lambda: outbound.fetch(
            "http://slow.test/", into=BytesIO(), max_bytes=10, timeout=0.2
        ),
        "post": lambda: outbound.post("http://slow.test/", headers={}, body=b"{}", timeout=0.2),
    }
    with pytest.raises(UrlUnavailable):
        calls[call]()
    assert time.monotonic() - began < 1.0


def test_the_number_of_hanging_look_ups_is_limited(
    hanging: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_free", threading.BoundedSemaphore(3))
    for number in range(6):
        with pytest.raises(UrlUnavailable):
            names.look_up(f"{number}.test", 80, timeout=0.02)
    assert len(hanging) == 3


def test_a_finished_look_up_frees_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_free", threading.BoundedSemaphore(1))
    for _ in range(5):
        assert names.look_up("127.0.0.1", 80, timeout=5)


def test_an_unexpected_error_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(socket, "getaddrinfo", broken)
    with pytest.raises(ZeroDivisionError):
        names.look_up("x.test", 80, timeout=5)
