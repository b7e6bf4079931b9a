"""A process's metrics on a port of their own, where it has no other."""

from __future__ import annotations

import logging

from prometheus_client import start_http_server

from shared.errors import ConfigError
from shared.settings import Settings

log = logging.getLogger("nukki.metrics")


def serve(settings: Settings) -> None:
    """Serve a worker's metrics at `/metrics`, if a port is set.

    Raises:
        ConfigError: the port is taken.
    """
    _listen(settings.metrics_port, settings.metrics_host)


def serve_courier(settings: Settings) -> None:
    """As `serve`, the courier's."""
    _listen(settings.courier_metrics_port, settings.metrics_host)


def _listen(port: int | None, host: str) -> None:
    if port is None:
        return
    try:
        start_http_server(port, host)
    except OSError as error:
        raise ConfigError(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error
    log.info("metrics on http://%s:%d", host, port)
