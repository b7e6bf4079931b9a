"""Serves a process's metrics on their own port, for processes that serve no other HTTP."""

from __future__ import annotations

import errno
import logging
import socket
import sys
import threading
import time
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from shared.errors import ConfigError

log = logging.getLogger("nukki.metrics")

#: Answered at once; more are closed. A scrape takes milliseconds.
_MOST_CONNECTIONS = 16
#: Seconds a caller may take to send its request, or to read the answer.
_PATIENCE = 5.0
#: What a process that has run out of descriptors or memory gets, and seconds until it looks again.
#: The connection stays in the listener's queue, so without a pause it would look all the time.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE = 0.5


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE

    def log_message(self, *_: object) -> None:
        """Log nothing: a scrape every few seconds says nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    """A server that neither waits for a slow caller nor spins when nothing is left."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        self._places = threading.Semaphore(_MOST_CONNECTIONS)
        super().__init__(*arguments)

    def get_request(self) -> tuple[Any, Any]:
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                log.warning("metrics: %s", error.strerror)
                time.sleep(_PAUSE)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, *_: object) -> None:
        log.info("a scrape failed: %s", sys.exception())


def serve(port: int | None, host: str) -> None:
    """Serve this process's metrics at `/metrics` on that port; do nothing if it is None.

    Raises:
        ConfigError: the port is taken.
    """
    if port is None:
        return
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        kind = type("_Listener", (_Server,), {"address_family": found[0]})
        server = kind(found[4], _Handler)
    except OSError as error:
        raise ConfigError(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error
    server.set_app(make_wsgi_app())
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    log.info("metrics on http://%s:%d", host, port)
