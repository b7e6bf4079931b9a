"""The API under waitress, a production WSGI server: it takes in slow uploads without a thread."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server

from api.app import create_app
from api.services import Services
from shared import logs
from shared.errors import ConfigError, StorageUnavailable
from shared.settings import Settings

log = logging.getLogger("nukki.api")

_EX_CONFIG = 78


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM, then answer what is under way; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(argv)
    try:
        settings = Settings.load()
        logs.configure(settings.log_level)
        settings.require_keys(options.host)
        services = Services.connect(settings)
        app = create_app(settings, services)
        server = Server(app, settings, options.host, options.port)
    except (ConfigError, StorageUnavailable) as error:
        sys.stderr.write(f"{error}\n")
        return _EX_CONFIG
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
    """Waitress, with the stop it lacks: its own drops the answers that are not yet written."""

    def __init__(self, app: Any, settings: Settings, host: str, port: int) -> None:
        self._map: dict[int, Any] = {}
        try:
            self._server = create_server(
                app,
                map=self._map,
                host=host,
                port=port,
                threads=settings.api_threads,
                ident=None,
                # The app answers 413 itself, as a problem; this only bounds what is buffered.
                max_request_body_size=2 * app.config["MAX_CONTENT_LENGTH"],
                clear_untrusted_proxy_headers=True,
            )
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from error

    def serve_until(self, leaving: threading.Event) -> None:
        """Answer requests until `leaving` is set."""
        while not leaving.is_set():
            self._turn(0.2)

    def drain(self, grace: float) -> None:
        """Take no new connections; answer the requests under way, within `grace` seconds."""
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
