"""The API process, served by waitress, which buffers slow uploads without using a thread."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
import time
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server

from api.app import create_app
from api.services import Services
from shared.errors import ConfigError, StorageUnavailable
from shared.settings import ApiSettings
from shared.startup import starting

log = logging.getLogger("nukki.api")


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM, then finish the running requests; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m api", description="Run the HTTP API.")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    options = parser.parse_args(argv)
    with starting(ApiSettings) as settings:
        settings.require_keys(options.host)
        try:
            services = Services.connect(settings)
        except StorageUnavailable as error:
            raise ConfigError(str(error)) from error
        app = create_app(settings, services)
        server = Server(app, settings, options.host, options.port)
    leaving = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leaving.set())
    log.info("listening on http://%s:%d", options.host, options.port)
    server.serve_until(leaving)
    services.waiting.close()
    server.drain(settings.shutdown_grace)
    services.close()
    return 0


class Server:
    """Waitress with a graceful stop; its own stop drops answers that are not yet written."""

    def __init__(self, app: Any, settings: ApiSettings, host: str, port: int) -> None:
        self._map: dict[int, Any] = {}
        try:
            self._server = create_server(
                app,
                map=self._map,
                host=host,
                port=port,
                threads=settings.api_threads,
                ident=None,
                # The app itself answers 413 with a problem document; this only limits buffering.
                max_request_body_size=2 * app.config["MAX_CONTENT_LENGTH"],
                clear_untrusted_proxy_headers=True,
            )
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from error

    def serve_until(self, leaving: threading.Event) -> None:
        """Serve requests until `leaving` is set."""
        while not leaving.is_set():
            self._turn(0.2)

    def drain(self, grace: float) -> None:
        """Accept no more connections and finish the running requests within `grace` seconds."""
        for listener in [item for item in self._map.values() if item.accepting]:
            listener.del_channel()
            listener.socket.close()
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and self._busy():
            self._turn(0.05)
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=1)

    def _turn(self, seconds: float) -> None:
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._map, count=1)

    def _busy(self) -> bool:
        channels = [item for item in self._map.values() if isinstance(item, HTTPChannel)]
        return any(channel.requests or channel.total_outbufs_len for channel in channels)


if __name__ == "__main__":
    raise SystemExit(main())
