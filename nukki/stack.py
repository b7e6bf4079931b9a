"""The embedded stack: runs Redis, launcher, courier and API as child processes."""

from __future__ import annotations

import contextlib
import errno
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from nukki import environment, memory, private_files, redis_server, secrets_file
from nukki.data_folder import DataFolder
from shared import processes
from shared.errors import ConfigError, QueueUnavailable, ServiceError
from shared.queue.connection import Connection
from shared.queue.workers import WorkerRoll
from shared.settings import DEFAULT_TENANT, StackSettings

_REDIS_PATIENCE = 30.0
_READY_PATIENCE = 300.0


class ServiceDied(ServiceError):
    """One of the stack's services ended on its own."""


@dataclass(slots=True)
class Stack:
    """One data folder's services.

    Attributes:
        data: the folder that holds all state.
        host: where the API listens.
        port: 0 for any free one.
        overrides: environment variables for the services, added to this process's own.
        say: called with one line per service, for people.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    overrides: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = print
    _children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)
    _folder: DataFolder = field(init=False)
    _socket: Path | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._folder = DataFolder(self.data)

    @property
    def url(self) -> str:
        shown = "127.0.0.1" if self.host == "0.0.0.0" else self.host  # noqa: S104
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}"

    def start(self) -> None:
        """Start everything; returns when the API is ready.

        Raises:
            AlreadyRunning: another stack runs on this data folder.
            ConfigError: the settings are not valid, or the port is taken.
            ServiceDied: one of the services did not start.
        """
        began = time.monotonic()
        self._prepare()
        try:
            env = {**self.overrides, **self._start_redis()}
            self._spawn("worker", processes.python("worker.launcher"), env)
            self._spawn("courier", processes.python("worker.courier"), env)
            self.say("courier  webhooks and upkeep")
            listen = ["--host", self.host, "--port", str(self.port)]
            self._spawn("api", processes.python("api", *listen), env)
            self.say(f"api      {self.url}")
            model = self._await_ready(env)
            self.say(f"worker   {model}")
            took = time.monotonic() - began
            self.say(f"ready in {took:.1f} s: {self.url}  (docs at {self.url}/docs)")
        except BaseException:
            self.stop()
            raise

    def watch(self, seconds: float) -> None:
        """Sleep for so many seconds and keep the logs short; raises ServiceDied if a service ended.

        Call it again and again while the stack runs.
        """
        self._folder.rotate()
        for name, child in self._children.items():
            status = child.poll()
            if status is not None:
                raise ServiceDied(
                    f"{name} ended with status {status}{self._folder.last_lines(name)}"
                )
        time.sleep(seconds)

    def stop(self, grace: float = 30.0) -> None:
        """Stop all services gracefully, the API first and Redis last."""
        for name in ("api", "worker", "courier", "redis"):
            child = self._children.pop(name, None)
            if child is not None:
                processes.stop(child, grace + 5)
        if self._socket is not None and self._socket.parent.parent != self.data.resolve():
            shutil.rmtree(self._socket.parent, ignore_errors=True)
        self._socket = None
        self._folder.release()

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pid(self, name: str) -> int:
        """The process id of a service: redis, worker (its launcher), courier or api."""
        return self._children[name].pid

    @property
    def redis_url(self) -> str:
        """REDIS_URL of the running stack's own Redis.

        Raises:
            ServiceDied: it does not run.
        """
        if self._socket is None:
            raise ServiceDied("redis is not running")
        return redis_server.url(self._socket, self.secrets()["redis"])

    def secrets(self) -> dict[str, str]:
        """Generated once and kept: the Redis password and each tenant's webhook secret."""
        tenants = {tenant for tenant, _ in self._settings().api_keys} or {DEFAULT_TENANT}
        return self._folder.secrets(tenants)

    def _settings(self) -> StackSettings:
        with environment.changed(self.overrides):
            return StackSettings.load()

    def _prepare(self) -> None:
        """Check everything that can be checked before a service is started."""
        self._settings().require_keys(self.host)
        self._folder.prepare(self.say)
        if self._folder.has_lost_secrets:
            self.say("data     secrets.json was missing: webhooks are signed with new secrets")
        self.secrets()
        self.port = self.port or redis_server.free_port()
        _require_free(self.host, self.port)

    def _start_redis(self) -> dict[str, str]:
        """Start Redis; returns the environment variables that the other services need."""
        server = redis_server.find_server()
        version = redis_server.version_of(server)
        folder = (self.data / "redis").resolve()
        redis_server.require_not_older(version, folder)
        kept, self._socket = self.secrets(), redis_server.place_socket(folder)
        config = redis_server.write_config(
            folder, self._socket, kept["redis"], self._redis_memory()
        )
        # By standard input: Redis 7 takes a path with ? or * in it for a pattern, and where that
        # matches no file it starts without any configuration.
        with config.open("rb") as source:
            self._spawn("redis", [server, "-"], {}, source, pass_fds=self._folder.lock_descriptors)
        self._await_redis(self.redis_url)
        self.say(f"redis    {redis_server.dotted(version)} ({server}) at {self._socket}")
        env = {
            "REDIS_URL": self.redis_url,
            "NUKKI_STORAGE_DIR": str(self.data.resolve() / "storage"),
        }
        if not self._settings().webhook_secrets:
            env["NUKKI_WEBHOOK_SECRETS"] = secrets_file.signing(kept)
        return env

    def _redis_memory(self) -> int:
        """Bytes that Redis may use."""
        given = self._settings().redis_mb
        return memory.redis_limit() if given is None else int(given * 1_000_000)

    def _spawn(
        self,
        name: str,
        argv: list[str],
        env: Mapping[str, str],
        source: IO[bytes] | None = None,
        *,
        pass_fds: list[int] | None = None,
    ) -> None:
        with self._folder.log(name) as output:
            self._children[name] = processes.spawn(
                argv,
                env=env,
                source=source,
                output=output,
                pass_fds=pass_fds or [],
                umask=private_files.UMASK,
            )

    def _await_redis(self, url: str) -> None:
        connection = Connection(url)
        deadline = time.monotonic() + _REDIS_PATIENCE
        try:
            while True:
                try:
                    return connection.ping()
                except QueueUnavailable:
                    if time.monotonic() > deadline:
                        raise
                self.watch(0.02)
        finally:
            connection.close()

    def _await_ready(self, env: Mapping[str, str]) -> str:
        """Wait for `/health/ready`; returns the models served, for people."""
        deadline = time.monotonic() + _READY_PATIENCE
        with httpx.Client(base_url=self.url, timeout=5, trust_env=False) as http:
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.TransportError):
                    if http.get("/health/ready").status_code == 200:
                        return _served(env)
                self.watch(0.05)
        raise ServiceDied(f"not ready after {_READY_PATIENCE:.0f} s; see {self.data / 'logs'}")


def _served(env: Mapping[str, str]) -> str:
    connection = Connection(env["REDIS_URL"])
    present = WorkerRoll(connection).present()
    connection.close()
    return "; ".join(f"{item.model} on {item.device}, {item.threads} threads" for item in present)


def _require_free(host: str, port: int) -> None:
    """Raise ConfigError unless the API can listen there."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} is taken; choose another with --port") from error
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from error
