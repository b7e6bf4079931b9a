"""The stack as processes, as two hosts would run it; processes that die are restarted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
from botocore.exceptions import BotoCoreError

from nukki.redis_server import free_port
from shared import processes
from tests.chaos.plan import SETTINGS
from tests.chaos.storage_wire import StorageWire
from tests.chaos.wire import Link, Wire

BUCKET = "chaos"
SECRET = "whsec_Y2hhb3MtY2hhb3MtY2hhb3MtY2hhb3MtY2hhb3M="
#: Devices per launcher. When a launcher dies, all its workers exit, and the other host takes the
#: jobs. Each launcher has two workers, so that a hung device never leaves a host without one.
LAUNCHERS = {"launcher-a": "0,1", "launcher-b": "2,3"}
COURIERS = ("courier-a", "courier-b")
#: Services that are restarted when they exit; the fault that kills Redis restarts it.
RESTARTED = (*LAUNCHERS, *COURIERS, "api")


@dataclass
class Services:
    """The processes, and the proxies before Redis and storage."""

    folder: Path
    redis_server: str
    attempts: int
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    restarts: int = 0
    redis_port: int = field(default_factory=free_port)
    storage_port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    down: set[str] = field(default_factory=set)  # not to be restarted now

    def __post_init__(self) -> None:
        self.redis_wire = Wire(self.redis_port)
        self.storage_wire = StorageWire(self.storage_port)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def redis_url(self) -> str:
        """The URL of Redis itself, not of the proxy."""
        return f"redis://127.0.0.1:{self.redis_port}/0"

    async def start(self) -> None:
        """Start everything; returns when the API is ready.

        Raises:
            TimeoutError: it was not ready in time.
        """
        await self.redis_wire.start()
        await self.storage_wire.start()
        (self.folder / "redis").mkdir()
        self.spawn("redis")
        self.spawn("storage")
        await asyncio.to_thread(self._make_bucket)
        for name in RESTARTED:
            self.spawn(name)
        async with httpx.AsyncClient(base_url=self.api, timeout=5, trust_env=False) as http:
            for _ in range(600):
                try:
                    if (await http.get("/health/ready")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        raise TimeoutError("the stack did not come up")

    def spawn(self, name: str) -> None:
        """Start one service, with its output in its own log file."""
        with (self.folder / f"{name}.log").open("ab") as log:
            argv = self._argv(name)
            self.children[name] = processes.spawn(argv, env=self._env(), output=log)

    def _argv(self, name: str) -> list[str]:
        python = processes.python
        match name:
            case "redis":
                options = {
                    "--port": str(self.redis_port),
                    "--bind": "127.0.0.1",
                    "--save": "",
                    "--appendonly": "yes",
                    "--dir": str(self.folder / "redis"),
                }
                return [self.redis_server, *(part for pair in options.items() for part in pair)]
            case "storage":
                return python("moto.server", "-H", "127.0.0.1", "-p", str(self.storage_port))
            case _ if name in LAUNCHERS:
                return python("worker.launcher", "--devices", LAUNCHERS[name])
            case _ if name in COURIERS:
                return python("worker.courier")
            case _:
                return python("api", "--port", str(self.api_port))

    def _env(self) -> Mapping[str, str]:
        return SETTINGS | {
            "NUKKI_MAX_ATTEMPTS": str(self.attempts),
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_wire.port}/0",
            "S3_BUCKET": BUCKET,
            "S3_ENDPOINT": f"http://127.0.0.1:{self.storage_wire.port}",
            "S3_PUBLIC_ENDPOINT": f"http://127.0.0.1:{self.storage_port}",
            "S3_ACCESS_KEY": "access",
            "S3_SECRET_KEY": "secret-secret",
            "NUKKI_WEBHOOK_SECRETS": f"default:{SECRET}",
        }

    def storage_client(self) -> Any:
        """A client of the storage itself, not of the proxy."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.storage_port}",
            aws_access_key_id="access",
            aws_secret_access_key="secret-secret",
            region_name="us-east-1",
        )

    def _make_bucket(self) -> None:
        for tries_left in range(100, -1, -1):
            try:
                self.storage_client().create_bucket(Bucket=BUCKET)
            except BotoCoreError:
                if not tries_left:
                    raise
            else:
                return

    async def supervise(self) -> None:
        """Restart services that have exited, as a deployment does, until canceled."""
        while True:
            for name in RESTARTED:
                if name not in self.down and self.children[name].poll() is not None:
                    self.restarts += 1
                    self.spawn(name)
            await asyncio.sleep(0.3)

    def workers(self) -> list[psutil.Process]:
        """The worker processes under the launchers."""
        found = []
        for name in LAUNCHERS:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += psutil.Process(self.children[name].pid).children()
        return [child for child in found if _is_named(child)]

    def servers(self) -> list[psutil.Process]:
        """The server processes under the API's master."""
        found: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            found += psutil.Process(self.children["api"].pid).children()
        return found

    def owner(self, link: Link) -> psutil.Process | None:
        """The process at the service's end of a connection; None if not found."""
        pids = [self.children[name].pid for name in RESTARTED]
        candidates = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
        for process in candidates + self.servers() + self.workers():
            try:
                ports = {item.laddr.port for item in process.net_connections("tcp")}
            except psutil.Error:
                continue
            if link.port in ports:
                return process
        return None

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send one service a signal."""
        os.kill(self.children[name].pid, number)

    async def stop(self) -> None:
        """Stop everything, storage and Redis last."""
        for name in (*reversed(RESTARTED), "storage", "redis"):
            child = self.children.get(name)
            if child is not None:
                self.down.add(name)
                await asyncio.to_thread(processes.stop, child, 15.0)
        await self.redis_wire.stop()
        await self.storage_wire.stop()


def _is_named(child: psutil.Process) -> bool:
    """Whether it is a live worker: not a zombie, not a fork that has not yet exec'd."""
    try:
        return "--name" in child.cmdline()  # empty for a zombie
    except psutil.Error:
        return False


def name_of(worker: psutil.Process) -> str:
    """The name under which a worker claims jobs.

    Raises:
        psutil.NoSuchProcess: it has exited.
    """
    line = worker.cmdline()
    if "--name" not in line:
        raise psutil.NoSuchProcess(worker.pid)
    return str(line[line.index("--name") + 1])
