"""The command line of the API."""

from __future__ import annotations

import argparse
import socket
import time

from api.server.master import Master
from shared.errors import ConfigError, StorageUnavailable
from shared.settings import ApiSettings
from shared.startup import starting
from shared.storage import open_storage

#: Connections that the system holds until a process accepts them.
_BACKLOG = 2048
#: Seconds for which a port is tried that a server may just be leaving.
_LEAVING = 3.0


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM, then finish the running requests; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m api", description="Run the HTTP API.")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    parser.add_argument(
        "--processes",
        type=int,
        help="server processes that share the port (default: NUKKI_API_PROCESSES)",
    )
    options = parser.parse_args(argv)
    with starting(ApiSettings) as settings:
        settings.require_keys(options.host)
        try:
            open_storage(settings)  # each process opens its own
        except StorageUnavailable as error:
            raise ConfigError(str(error)) from error
        processes = settings.api_processes if options.processes is None else options.processes
        if processes < 1:
            raise ConfigError("--processes must be at least 1")
        listener = listening(options.host, options.port)
    return Master(listener, processes, settings).serve()


def listening(host: str, port: int) -> socket.socket:
    """A listening socket that all server processes accept from."""
    deadline = time.monotonic() + _LEAVING
    while True:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            if time.monotonic() > deadline:
                raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from error
            time.sleep(0.1)
        else:
            return listener
