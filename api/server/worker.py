"""The process that serves HTTP: gunicorn's gevent worker, with deadlines and a prompt drain."""

from __future__ import annotations

import logging
import time
from types import FrameType
from typing import Any, cast

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn import http
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.ggevent import GeventWorker

from api.server.connections import Connections
from api.server.peer import Deadlines, Peer

log = logging.getLogger("nukki.api")

#: The share of connections accepted above the limit, so that idle ones can be closed for them.
MARGIN = 1 / 8
#: Bytes of an unread body that are read to keep a connection; more close it.
_DRAINED = 64 * 1024


class Worker(GeventWorker):  # type: ignore[misc]
    """Serves connections until SIGTERM, then finishes the running requests."""

    deadlines = Deadlines()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections = Connections(self.worker_connections)

    def run(self) -> None:
        """Serve until told to stop."""
        servers = [self._serve(item) for item in self.sockets]
        while self.alive:
            self.notify()
            gevent.sleep(0.2)
        for server in servers:
            server.close()
        self.app.drain()
        end = time.monotonic() + cast(float, self.cfg.graceful_timeout)
        while len(self._connections) and time.monotonic() < end:
            self._connections.hang_up_idle()
            self.notify()
            gevent.sleep(0.05)
        if len(self._connections):
            log.warning("%d requests were cut off", len(self._connections))
        self.app.close()

    def _serve(self, listener: Any) -> StreamServer:
        listener.setblocking(1)
        pool = Pool(self.worker_connections + int(self.worker_connections * MARGIN))

        def handle(client: Any, address: Any) -> None:
            self._converse(listener.getsockname(), Peer(client, self.deadlines), address)

        server = StreamServer(listener, handle=handle, spawn=pool)
        if self.cfg.workers > 1:
            server.max_accept = 1  # so that no process takes all of a burst
        server.start()
        return server

    def _converse(self, listener_name: Any, peer: Peer, address: Any) -> None:
        """Serve the requests of one connection, one after another."""
        unread = False
        with self._connections.joined():
            parser = http.get_parser(self.cfg, peer, address)
            try:
                while True:
                    peer.await_request()
                    with self._connections.idle(peer):
                        request = next(parser)
                    unread = True
                    peer.begin_body(continue_wanted=request._expected_100_continue)  # noqa: SLF001
                    request._expected_100_continue = False  # noqa: SLF001  # the peer sends it
                    self.handle_request(listener_name, request, peer, address)
                    deadline = time.monotonic() + self.deadlines.linger
                    if not parser.finish_body(deadline, _DRAINED) or not self.alive:
                        break
                    unread = False
                    gevent.sleep(0)  # the others' turn, though more requests may be here already
            except (StopIteration, NoMoreData):
                pass
            except OSError as error:  # a deadline passed, or the caller is gone
                log.debug("%s: %s", address, error)
            except Exception as error:  # noqa: BLE001  # gunicorn answers what it cannot parse
                self.handle_error(None, peer, address, error)
            finally:
                peer.close(unread=unread)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C reaches the master too; both then finish the running requests."""
        self.handle_exit(sig, frame)
