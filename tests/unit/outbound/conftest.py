"""Fixtures: a scripted server and a scripted DNS."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.web import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each name resolves to: a list of addresses, or an iterator of lists, one per look-up."""
    book: dict[str, Any] = {"lookups": []}
    genuine = socket.getaddrinfo

    def play(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in book:
            ipaddress.ip_address(host)  # a test may look up no other name than those it played
            return genuine(host, port, *args, **kwargs)
        book["lookups"].append(host)
        given = book[host] if isinstance(book[host], list) else next(book[host])
        return [found for address in given for found in genuine(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", play)
    return book
