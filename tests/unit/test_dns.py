"""DNS look-ups with a timeout."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared import dns as names
from shared.errors import UrlUnavailable
from shared.guard import Guard
from shared.outbound import Outbound


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A resolver that answers for no name before the test's end; the names asked for."""
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
    deadline = time.monotonic() + 5  # every place is free again for the next test
    while any(item.name == "look-up" for item in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_address_is_its_own_answer() -> None:
    assert names.look_up("127.0.0.1", 80, timeout=5) == ["127.0.0.1"]


def test_a_resolver_that_hangs_is_left_at_the_deadline(hanging: list[str]) -> None:
    began = time.monotonic()
    with pytest.raises(UrlUnavailable, match=r"slow\.test was not looked up in time"):
        names.look_up("slow.test", 80, timeout=0.2)
    assert 0.15 < time.monotonic() - began < 1.0
    assert hanging == ["slow.test"]


@pytest.mark.parametrize("call", ["fetch", "post"])
def test_a_whole_call_is_bounded_look_up_and_all(hanging: list[str], call: str) -> None:
    outbound = Outbound(Guard())
    began = time.monotonic()
    calls: dict[str, Callable[[], object]] = {
        "fetch": lambda: outbound.fetch("http://slow.test/", max_bytes=10, timeout=0.2),
        "post": lambda: outbound.post("http://slow.test/", headers={}, body=b"{}", timeout=0.2),
    }
    with pytest.raises(UrlUnavailable):
        calls[call]()
    assert time.monotonic() - began < 1.0


def test_look_ups_that_hang_are_bounded_in_number(
    hanging: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_free", threading.BoundedSemaphore(3))
    for number in range(6):
        with pytest.raises(UrlUnavailable):
            names.look_up(f"{number}.test", 80, timeout=0.02)
    assert len(hanging) == 3


def test_a_place_is_free_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_free", threading.BoundedSemaphore(1))
    for _ in range(5):
        assert names.look_up("127.0.0.1", 80, timeout=5)


def test_an_error_nobody_foresaw_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(socket, "getaddrinfo", broken)
    with pytest.raises(ZeroDivisionError):
        names.look_up("x.test", 80, timeout=5)
