"""Redirects: a limited number is followed, and each is checked."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import (
    UrlFailed,
    UrlForbidden,
    UrlUnavailable,
)
from shared.outbound import MAX_REDIRECTS
from tests.web import Server, answer, fetch


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(server: Server, status: int) -> None:
    server.scripts["/photo"] = answer(status, Location=server.url("/there"))
    server.scripts["/there"] = answer(200, b"the photo")
    assert fetch(server.url()) == b"the photo"


@pytest.mark.parametrize("location", ["/a/there", "there", "//127.0.0.1:{port}/a/there", "?x=1"])
def test_a_relative_redirect_is_followed(server: Server, location: str) -> None:
    there = location.format(port=server.port)
    server.scripts["/a/photo"] = answer(302, Location=there)
    server.scripts["/a/there"] = server.scripts["/a/photo?x=1"] = answer(200, b"the photo")
    assert fetch(server.url("/a/photo")) == b"the photo"


def test_the_maximum_number_of_redirects_is_followed(server: Server) -> None:
    for hop in range(MAX_REDIRECTS):
        server.scripts[f"/{hop}"] = answer(302, Location=f"/{hop + 1}")
    server.scripts[f"/{MAX_REDIRECTS}"] = answer(200, b"the photo")
    assert fetch(server.url("/0")) == b"the photo"


def test_a_redirect_loop_ends_in_an_error(server: Server) -> None:
    server.scripts["/photo"] = answer(302, Location="/photo")
    with pytest.raises(UrlFailed, match="redirects"):
        fetch(server.url())
    assert server.connections == MAX_REDIRECTS + 1


def test_a_redirect_to_a_private_address_is_refused_and_not_connected_to(server: Server) -> None:
    with Server(host="127.0.0.2") as private:
        server.scripts["/photo"] = answer(302, Location=private.url())
        with pytest.raises(UrlForbidden):
            fetch(server.url())
        assert private.connections == 0


def test_a_redirect_to_a_private_name_is_refused_and_not_connected_to(
    server: Server, dns: dict[str, Any]
) -> None:
    dns["inside.test"] = ["127.0.0.2"]
    with Server(host="127.0.0.2") as private:
        server.scripts["/photo"] = answer(302, Location=private.url(host="inside.test"))
        with pytest.raises(UrlForbidden):
            fetch(server.url())
        assert private.connections == 0


@pytest.mark.parametrize(
    "location",
    [
        "ftp://files.test/photo",
        "file:///etc/passwd",
        "http://user:secret@127.0.0.1/",
        "http://[not-an-address/",
        "http://[::1%25lo]/",
        "http://127.0.0.1:99999/",
        "http://\xe9\xff.\x80/",
    ],
)
def test_a_redirect_to_a_forbidden_url_is_refused(server: Server, location: str) -> None:
    server.scripts["/photo"] = answer(302, Location=location)
    with pytest.raises((UrlForbidden, UrlUnavailable)):
        fetch(server.url())
    assert server.connections == 1
