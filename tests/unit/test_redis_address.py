"""Parsing `sentinel://` URLs: the sentinels, their master, and the passwords of each."""

from __future__ import annotations

import pytest

from shared.errors import ConfigError
from shared.queue.address import SentinelAddress


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("sentinel://one/main", SentinelAddress((("one", 26379),), "main")),
        (
            "sentinel://one:1,[::1]:2,two/main/3",
            SentinelAddress((("one", 1), ("::1", 2), ("two", 26379)), "main", 3),
        ),
        (
            "sentinel://:p%40ss@one/main",
            SentinelAddress((("one", 26379),), "main", password="p@ss"),
        ),
        (
            "sentinel://user:p@one/main/0",
            SentinelAddress((("one", 26379),), "main", username="user", password="p"),
        ),
        (
            "sentinel://:p@one/main?sentinel_password=q%26a+b",
            SentinelAddress((("one", 26379),), "main", password="p", sentinel_password="q&a+b"),
        ),
        (
            "sentinel://one/main/0?sentinel_username=u&sentinel_password=q",
            SentinelAddress(
                (("one", 26379),), "main", sentinel_username="u", sentinel_password="q"
            ),
        ),
        ("redis://one/0", None),
        ("rediss://one/0?ssl_ca_certs=ca.pem", None),
    ],
)
def test_a_url_is_parsed(url: str, address: SentinelAddress | None) -> None:
    assert SentinelAddress.parse(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://",
        "sentinel://:secret@one",
        "sentinel://:secret@/main",
        "sentinel://:secret@one:port/main",
        "sentinel://:secret@one/main/first",
        "sentinel://:secret@one/main?password=secret",
        "sentinel://one/main?sentinel_pasword=secret",
    ],
)
def test_a_bad_url_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="REDIS_URL") as refusal:
        SentinelAddress.parse(url)
    assert "secret" not in str(refusal.value)


def test_a_sentinel_gets_its_own_password_and_not_the_masters() -> None:
    address = SentinelAddress.parse("sentinel://:p@one/main?sentinel_password=q")
    assert address is not None
    assert address.sentinel_options["password"] == "q"
    assert address.broker_url == "sentinel://:p@one:26379/0"
    bare = SentinelAddress.parse("sentinel://:p@one/main")
    assert bare is not None
    assert bare.sentinel_options["password"] is None
