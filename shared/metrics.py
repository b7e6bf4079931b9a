"""What a process counts, for Prometheus."""

from __future__ import annotations

import logging

from prometheus_client import Counter, start_http_server

from shared.errors import ConfigError
from shared.settings import Settings

log = logging.getLogger("nukki.metrics")

EMBEDDING_HITS = Counter("nukki_embedding_hits", "Clicks that found their photo's embedding kept")
EMBEDDING_MISSES = Counter("nukki_embedding_misses", "Photos that had to be encoded")


def serve(settings: Settings) -> None:
    """Serve this process's metrics at `/metrics` on loopback, if a port is set.

    Raises:
        ConfigError: the port is taken.
    """
    if settings.metrics_port is None:
        return
    try:
        start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        where = f"{settings.metrics_host}:{settings.metrics_port}"
        raise ConfigError(f"cannot serve metrics on {where}: {error.strerror}") from error
    log.info("metrics on http://%s:%d", settings.metrics_host, settings.metrics_port)
