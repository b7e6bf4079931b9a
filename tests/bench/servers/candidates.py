"""The API's app under one of several HTTP servers.

    python -m tests.bench.servers.candidates NAME --port N

Reads the API's settings from the environment. The servers other than ours are installed by
`pip install -e ".[servers]"`, and are given the limits that they have for slow callers.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

#: Seconds and connections, where a server has a limit on them.
_SLOW, _MANY = 30, 10_000
_THREADS = 64


def _app() -> Any:
    from api.app import create_app
    from shared.settings import ApiSettings

    return create_app(ApiSettings.load())


def ours(port: int) -> None:
    """gunicorn's gevent worker as we extend it."""
    from api.__main__ import main

    main(["--port", str(port)])


def waitress(port: int) -> None:
    """What served the API until now, with its limits set."""
    from waitress import serve

    serve(_app(), host="127.0.0.1", port=port, threads=32, connection_limit=_MANY,
          channel_timeout=_SLOW, cleanup_interval=5, asyncore_use_poll=True,
          max_request_body_size=2 * 82 * 1024**2)  # fmt: skip


def gunicorn_gevent(port: int) -> None:
    """gunicorn's gevent worker as it comes."""
    from gevent import monkey

    monkey.patch_all()
    from gunicorn.app.base import BaseApplication

    class Stock(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            self.cfg.set("bind", f"127.0.0.1:{port}")
            self.cfg.set("worker_class", "gevent")
            self.cfg.set("worker_connections", _MANY)
            self.cfg.set("keepalive", _SLOW)
            self.cfg.set("control_socket_disable", True)

        def load(self) -> Any:
            return _app()

    Stock().run()


def cheroot(port: int) -> None:
    """CherryPy's server: threads, and a selector for idle connections."""
    from cheroot.wsgi import Server

    Server(("127.0.0.1", port), _app(), numthreads=_THREADS, timeout=_SLOW,
           request_queue_size=2048).start()  # fmt: skip


def granian(port: int) -> None:
    """A server in Rust; the app runs in a pool of threads."""
    from granian.constants import Interfaces
    from granian.http import HTTP1Settings
    from granian.server import Server

    Server("tests.bench.servers.granian_app:app", address="127.0.0.1", port=port,
           interface=Interfaces.WSGI, blocking_threads=_THREADS, backpressure=_MANY, backlog=2048,
           http1_settings=HTTP1Settings(header_read_timeout=_SLOW * 1000)).serve()  # fmt: skip


def uvicorn(port: int) -> None:
    """An asyncio server behind a bridge that runs the app in a pool of threads."""
    import uvicorn as server
    from a2wsgi import WSGIMiddleware

    server.run(WSGIMiddleware(_app(), workers=_THREADS), host="127.0.0.1", port=port,
               backlog=2048, timeout_keep_alive=_SLOW, log_level="warning")  # fmt: skip


CANDIDATES = {
    "ours": ours,
    "waitress": waitress,
    "gunicorn-gevent": gunicorn_gevent,
    "cheroot": cheroot,
    "granian": granian,
    "uvicorn": uvicorn,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CANDIDATES)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    sys.argv = sys.argv[:1]
    CANDIDATES[options.name](options.port)
