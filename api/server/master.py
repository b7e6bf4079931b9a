"""The master process: keeps the server processes running, and ends them gracefully."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import resource
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from api.server.worker import MARGIN
from shared import processes
from shared.settings import ApiSettings

log = logging.getLogger("nukki.api")

#: Descriptors kept for what is not a caller's connection: Redis, storage, spooled bodies, logs.
_OTHER_DESCRIPTORS = 256
#: Seconds without a sign of life after which a server process is killed and replaced.
_HUNG = 60
#: Where the processes of one master write their metrics, so that each can answer for all.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class _Log(Logger):  # type: ignore[misc]
    """gunicorn's log, as lines of ours."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log = logging.getLogger("nukki.api.server")
        self.error_log.setLevel(logging.WARNING)  # its own start and end are told by us


class _Arbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master; Ctrl-C ends it as gracefully as SIGTERM does."""

    handle_int = Arbiter.handle_term


class Master(BaseApplication):  # type: ignore[misc]
    """Runs `processes` servers on one listening socket."""

    def __init__(
        self,
        listener: socket.socket,
        processes: int,
        settings: ApiSettings,
        make: Callable[[ApiSettings], tuple[Any, Callable[[], None], Callable[[], None]]]
        | None = None,
    ) -> None:
        """Prepare the master; `serve` runs it.

        Args:
            listener: accepts the callers' connections.
            processes: how many server processes share it.
            settings: of the app.
            make: makes, in each process, the WSGI app, what wakes its waiting requests, and what
                closes it.
        """
        self._listener = listener
        self._processes = processes
        self._settings = settings
        self._make = make or _nukki
        self._drain: Callable[[], None] = lambda: None
        self._close: Callable[[], None] = lambda: None
        super().__init__()

    def serve(self) -> int:
        """Serve until SIGTERM; returns the exit status."""
        host, port = self._listener.getsockname()[:2]
        log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        with _metrics_folder(self._processes):
            try:
                _Arbiter(self).run()
            except SystemExit as end:
                return int(end.code or 0)
        return 0

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults; no file or variable of gunicorn's is read."""
        given: dict[str, Any] = {
            "bind": f"fd://{self._listener.fileno()}",
            "workers": self._processes,
            "worker_class": "api.server.worker.Worker",
            "worker_connections": min(self._settings.api_connections, _most_connections()),
            "timeout": _HUNG,
            "graceful_timeout": int(self._settings.shutdown_grace),
            "logger_class": _Log,
            "control_socket_disable": True,
            "forwarded_allow_ips": "",  # callers' own X-Forwarded-* headers mean nothing
            "sendfile": False,  # it would ignore the deadlines of writes
            "post_fork": _after_fork,
            "child_exit": _forget_metrics,
        }
        for name, value in given.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI app; called in each server process."""
        app, self._drain, self._close = self._make(self._settings)
        return app

    def drain(self) -> None:
        """Answer the requests that wait for a job."""
        self._drain()

    def close(self) -> None:
        """Close the app, when no request is running any more."""
        self._close()


def _nukki(settings: ApiSettings) -> tuple[Any, Callable[[], None], Callable[[], None]]:
    """The API as a WSGI app."""
    from api.app import create_app
    from api.server.disk import in_threads
    from api.services import Services

    services = Services.connect(settings)
    services = dataclasses.replace(services, storage=in_threads(services.storage))
    return create_app(settings, services), services.waiting.close, services.close


def _most_connections() -> int:
    """How many connections the descriptors of this process allow, after raising their limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # an unlimited one cannot always be taken
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, int((soft - _OTHER_DESCRIPTORS) / (1 + MARGIN)))


@contextlib.contextmanager
def _metrics_folder(processes: int) -> Any:
    """Let several processes add up their metrics in a temporary folder."""
    if processes == 1:
        yield
        return
    folder, master = Path(tempfile.mkdtemp(prefix="nukki-api-metrics-")), os.getpid()
    os.environ[METRICS_FOLDER] = str(folder)
    try:
        yield
    finally:
        if os.getpid() == master:  # a server process that ends comes here too
            del os.environ[METRICS_FOLDER]
            shutil.rmtree(folder, ignore_errors=True)


def _after_fork(_: Any, __: Any) -> None:
    """End with the master, however it ends."""
    processes.die_with_parent()


def _forget_metrics(_: Any, worker: Any) -> None:
    """Remove the gauges of a server process that has ended; its counts stay."""
    if METRICS_FOLDER in os.environ:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
