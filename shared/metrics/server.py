"""Serves a process's metrics on their own port, for processes that serve no other HTTP."""

from __future__ import annotations

import logging

from prometheus_client import start_http_server

from shared.errors import ConfigError

log = logging.getLogger("nukki.metrics")


def serve(port: int | None, host: str) -> None:
    """Serve this process's metrics at `/metrics` on that port; do nothing if it is None.

    Raises:
        ConfigError: the port is taken.
    """
    if port is None:
        return
    try:
        start_http_server(port, host)
    except OSError as error:
        raise ConfigError(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error
    log.info("metrics on http://%s:%d", host, port)
