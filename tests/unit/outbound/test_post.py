"""Posting a webhook."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

import pytest

from shared.errors import (
    UrlForbidden,
    UrlUnavailable,
)
from tests.web import (
    LOOPBACK,
    Server,
    answer,
    drip,
    fetch,
    outbound,
)


def post(url: str, *, timeout: float = 5.0, allow: Iterable[str] = LOOPBACK) -> Any:
    return outbound(tuple(allow)).post(
        url,
        headers={"webhook-id": "msg_1", "Content-Type": "application/json"},
        body=b'{"a":1}',
        timeout=timeout,
    )


def test_a_post_carries_its_headers_and_body(server: Server) -> None:
    server.scripts["/hook"] = answer(200, b"thanks")
    given = post(server.url("/hook"))
    assert (given.status, given.snippet) == (200, "thanks")
    head, _, body = server.asked[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /hook HTTP/1.1"
    assert {b"webhook-id: msg_1", b"Content-Type: application/json"} < set(lines)
    assert b"Content-Length: 7" in lines
    assert body == b'{"a":1}'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_post_is_never_redirected(server: Server, status: int) -> None:
    server.scripts["/hook"] = answer(status, Location=server.url("/there"))
    assert post(server.url("/hook")).status == status
    assert server.connections == 1


@pytest.mark.parametrize("status", [200, 204, 400, 404, 410, 500, 503])
def test_post_returns_any_status_without_raising(server: Server, status: int) -> None:
    server.scripts["/hook"] = answer(status)
    assert post(server.url("/hook")).status == status


def test_only_the_beginning_of_a_long_answer_is_kept(server: Server) -> None:
    server.scripts["/hook"] = answer(500, b"x" * 100_000)
    assert post(server.url("/hook")).snippet == "x" * 200


def test_a_snippet_of_a_binary_answer_is_kept(server: Server) -> None:
    server.scripts["/hook"] = answer(500, b"\xff\xfe oh")
    assert post(server.url("/hook")).snippet == "\ufffd\ufffd oh"


def test_the_status_of_a_truncated_answer_counts(server: Server) -> None:
    server.scripts["/hook"] = answer(200, b"than", Content_Length="100")
    assert post(server.url("/hook")).status == 200


def test_the_status_of_a_slow_answer_counts(server: Server) -> None:
    server.scripts["/hook"] = drip(answer(200, Content_Length="100"), b"a")
    began = time.monotonic()
    assert post(server.url("/hook"), timeout=0.4).status == 200
    assert time.monotonic() - began < 1.5


def test_a_post_to_a_private_address_is_refused(server: Server) -> None:
    with pytest.raises(UrlForbidden):
        post(server.url("/hook"), allow=[])
    assert server.connections == 0


def test_a_post_to_a_private_name_is_refused(server: Server, dns: dict[str, Any]) -> None:
    dns["inside.test"] = ["127.0.0.1"]
    with pytest.raises(UrlForbidden):
        post(server.url("/hook", host="inside.test"), allow=[])
    assert server.connections == 0


def test_a_post_without_an_answer_is_unavailable(server: Server) -> None:
    server.scripts["/hook"] = b""
    with pytest.raises(UrlUnavailable):
        post(server.url("/hook"))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxy_environment_variables_are_ignored(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with Server() as proxy:
        monkeypatch.setitem(os.environ, name, proxy.url(""))
        server.scripts["/photo"] = answer(200, b"the photo")
        assert fetch(server.url()) == b"the photo"
        assert proxy.connections == 0
