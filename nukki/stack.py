"""The embedded stack: runs Redis, launcher, courier and API as child processes."""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from nukki import environment, memory, redis_server
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
        """Sleep for so many seconds; raises ServiceDied if a service has ended."""
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
        self._folder.release()

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pid(self, name: str) -> int:
        """The process id of a service: redis, worker (its launcher), courier or api."""
        return self._children[name].pid

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
        self._folder.prepare()
        self.port = self.port or redis_server.free_port()
        _require_free(self.host, self.port)

    def _start_redis(self) -> dict[str, str]:
        """Start Redis; returns the environment variables that the other services need."""
        server = redis_server.find_server()
        version = redis_server.version_of(server)
        folder = (self.data / "redis").resolve()
        redis_server.require_not_older(version, folder)
        port, kept = redis_server.free_port(), self.secrets()
        config = redis_server.write_config(folder, port, kept["redis"], self._redis_memory())
        self._spawn("redis", [server, str(config)], {}, pass_fds=self._folder.lock_descriptors)
        url = f"redis://:{kept['redis']}@127.0.0.1:{port}/0"
        self._await_redis(url)
        self.say(f"redis    {redis_server.dotted(version)} on 127.0.0.1:{port}")
        signing = [
            f"{tenant}:{secret}"
            for name, secret in kept.items()
            for kind, _, tenant in [name.partition(":")]
            if kind == "webhook"
        ]
        env = {"REDIS_URL": url, "NUKKI_STORAGE_DIR": str(self.data.resolve() / "storage")}
        if not self._settings().webhook_secrets:
            env["NUKKI_WEBHOOK_SECRETS"] = ",".join(signing)
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
        *,
        pass_fds: list[int] | None = None,
    ) -> None:
        with self._folder.log(name) as output:
            self._children[name] = processes.spawn(
                argv, env=env, output=output, pass_fds=pass_fds or []
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
