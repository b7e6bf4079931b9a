"""Where Redis is: a server's own address, or the sentinels that know which server is the master."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

from shared.errors import ConfigError

_SCHEME = "sentinel"
_PORT = 26379
_LOGIN = ("sentinel_username", "sentinel_password")
#: Of each sentinel that is asked for the master: with one of them dead there is still time.
_TIMEOUTS = {"socket_connect_timeout": 0.3, "socket_timeout": 0.5}


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Sentinels, and the master that they are asked for.

    Attributes:
        hosts: of the sentinels.
        service: what they call the master.
        db: its database.
        username: the master's, as `password`.
        sentinel_username: the sentinels' own, as `sentinel_password`.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None

    @classmethod
    def parse(cls, url: str) -> Self | None:
        """From `sentinel://[[user]:password@]host[:port][,host[:port]…]/service[/db][?login]`.

        The user and password before the hosts are the master's; `login` is that of the sentinels:
        `sentinel_username=…&sentinel_password=…`, where they ask for one. None for any other URL,
        which is a server's own.

        Raises:
            ConfigError: it begins so, and is no such URL; the message does not repeat it.
        """
        if not url.startswith(f"{_SCHEME}://"):
            return None
        parts = urlsplit(url)
        credentials, at, hosts = parts.netloc.rpartition("@")
        username, _, password = credentials.partition(":")
        service, _, db = parts.path.strip("/").partition("/")
        options = [option.partition("=") for option in parts.query.split("&") if option]
        login = {name: unquote(value) or None for name, _, value in options}
        try:
            found = tuple(_host(host) for host in hosts.split(","))
            number = int(db or 0)
        except ValueError:
            found, number = (), 0
        if not found or not service:
            raise ConfigError("REDIS_URL: write sentinel://[:password@]host:port,…/service/db")
        if not login.keys() <= set(_LOGIN):
            raise ConfigError(f"REDIS_URL: after a sentinel's ? write {' or '.join(_LOGIN)}")
        return cls(
            found,
            service,
            number,
            unquote(username) or None if at else None,
            unquote(password) or None if at else None,
            **login,
        )

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """redis-py's options for a connection to a sentinel."""
        login = {"username": self.sentinel_username, "password": self.sentinel_password}
        return _TIMEOUTS | login

    @property
    def broker_url(self) -> str:
        """As kombu wants it: a whole URL for each sentinel."""
        given = ""
        if self.password is not None:
            given = f"{quote(self.username or '', safe='')}:{quote(self.password, safe='')}@"
        urls = (f"{_SCHEME}://{given}{host}:{port}/{self.db}" for host, port in self.hosts)
        return ";".join(urls)


def broker_url(redis_url: str) -> str:
    """The same Redis as Celery is to have it.

    It would take any TLS server's word; redis-py asks for a certificate, and so does this.
    """
    address = SentinelAddress.parse(redis_url)
    if address is not None:
        return address.broker_url
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        query = re.sub(r"(^|&)db=", r"\1virtual_host=", parts.query)
        return f"redis+socket://{parts.netloc}{parts.path}{query and '?'}{query}"
    if parts.scheme != "rediss" or "ssl_cert_reqs=" in parts.query:
        return redis_url
    query = f"{parts.query}&" if parts.query else ""
    return parts._replace(query=f"{query}ssl_cert_reqs=required").geturl()


def _host(given: str) -> tuple[str, int]:
    """`name`, `name:port`, `[v6]` or `[v6]:port`."""
    parts = urlsplit(f"//{given}")
    if not parts.hostname:
        raise ValueError
    return parts.hostname, parts.port or _PORT
