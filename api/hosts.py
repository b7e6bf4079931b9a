"""The browser wall: which hosts the API answers for, and which web pages may call it.

It matters where no key is needed. A key travels in a header that no browser adds by itself, so with
keys a page of another site can do nothing. Without keys, two things would let such a page in: DNS
rebinding (the page's own name is made to point at this machine) and plain cross-site requests (a
form, an image, a script), which browsers send without asking.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flask import Flask, request

from shared.errors import CrossSite, HostNotAllowed, MalformedRequest, ServiceError
from shared.settings import ApiSettings, is_loopback
from shared.settings.values import matches_host

#: A name or an IPv4 address, or an IPv6 address in brackets; then perhaps a port.
_HOST = r"([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?"
_HOST_HEADER = re.compile(_HOST)
_PAGE = re.compile(rf"(https?)://{_HOST}(?:/.*)?", re.IGNORECASE)
#: Probes name the host by whatever address they know. The answers hold nothing of a tenant.
_PROBES = "/health/"
_SAFE = frozenset({"GET", "HEAD"})
_OURS = frozenset({"", "same-origin", "none"})
_PORTS = {"http": 80, "https": 443}
_SHOWN = 80

#: Gives a request's header by its name.
Header = Callable[[str], str | None]
#: Host and port; a port that is not given is None.
Place = tuple[str, int | None]


class Wall:
    """Decides from a request's head alone, so that any layer can ask before it reads a body."""

    def __init__(self, settings: ApiSettings) -> None:
        self._keyless = not settings.api_keys
        self._hosts = settings.allowed_hosts
        # Pages of other origins that may call us all the same. A setting that allows origins
        # (CORS) adds to these, and what answers its preflights comes before `refusal`.
        self._pages = {page for page in [_page(settings.public_url or "")] if page}

    def refusal(self, method: str, path: str, header: Header) -> ServiceError | None:
        """Why this request is refused; None if it is not.

        Args:
            method: in upper case.
            path: decoded, without the query.
            header: gives the value of a header, or None.
        """
        if path.startswith(_PROBES):
            return None
        given = header("Host")
        host = _host(given or "")
        if given is not None and host is None:
            return MalformedRequest("the Host header is not a host name with an optional port")
        if not self._serves(host):
            shown = given[:_SHOWN] if given else "a request without a Host header"
            return HostNotAllowed(f"this service does not answer for {shown} (NUKKI_ALLOWED_HOSTS)")
        if self._keyless and self._is_foreign(method, header, host):
            return CrossSite()
        return None

    def _serves(self, host: Place | None) -> bool:
        if not self._hosts and not self._keyless:
            return True
        if host is None:
            return "*" in self._hosts
        name = host[0]
        public = any(name == page[1] for page in self._pages)
        return public or is_loopback(name) or matches_host(name, self._hosts)

    def _is_foreign(self, method: str, header: Header, host: Place | None) -> bool:
        """Whether a browser says that a page which is not ours makes this request.

        These headers are the browser's own: no page can set them. Without any of them the caller is
        no browser. All that a page of another site may do is link to us.
        """
        origin, site = header("Origin"), (header("Sec-Fetch-Site") or "").lower()
        page = _page(origin or "")
        if origin is not None and page is not None and page in self._pages:
            return False
        if origin is not None and not _is_at(page, host):
            return True
        if method in _SAFE:
            link = header("Sec-Fetch-Mode") == "navigate" and header("Sec-Fetch-Dest") == "document"
            return site == "cross-site" and not link
        if site not in _OURS:
            return True
        referer = header("Referer") if origin is None and not site else None
        return referer is not None and not _is_at(_page(referer), host)


def _host(text: str) -> Place | None:
    """`Name:8000` as `("name", 8000)`; None if it is not such a text."""
    found = _HOST_HEADER.fullmatch(text)
    return None if found is None else _place(found[1], found[2])


def _page(url: str) -> tuple[str, str, int] | None:
    """The origin of a page: scheme, host and port; None of anything else, `null` among it."""
    found = _PAGE.fullmatch(url)
    if found is None:
        return None
    name, port = _place(found[2], found[3])
    scheme = found[1].lower()
    return scheme, name, port or _PORTS[scheme]


def _place(name: str, port: str | None) -> Place:
    return name.strip("[]").lower(), int(port) if port else None


def _is_at(page: tuple[str, str, int] | None, host: Place | None) -> bool:
    """Whether a page was served by that host. Of TLS only the proxy knows, so the page tells."""
    if page is None or host is None:
        return False
    scheme, name, port = page
    return (name, port) == (host[0], host[1] or _PORTS[scheme])


def install(app: Flask, settings: ApiSettings) -> None:
    """Ask the wall before every request of `app`."""
    wall = Wall(settings)

    @app.before_request
    def ask() -> None:
        error = wall.refusal(request.method, request.path, request.headers.get)
        if error is not None:
            raise error
