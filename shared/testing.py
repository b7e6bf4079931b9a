"""Test doubles and a real Redis for tests. Nothing in the product imports this."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import quote

from shared import processes
from shared.errors import NotFound, QueueUnavailable, StorageUnavailable
from shared.job import Lane
from shared.queue.connection import Connection
from shared.storage.protocol import Grant, SignedPut, Stored


class RedisProcess:
    """A real redis-server on a loopback port, with its data in its own folder."""

    def __init__(self, server: str, port: int, *options: str, password: str = "") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nukki-redis-")
        self._argv = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        self._argv += ["--appendonly", "yes", "--dir", self._folder.name, *options]
        self._child: subprocess.Popen[bytes] | None = None
        login = f":{quote(password, safe='')}@" if password else ""
        self.url = f"redis://{login}127.0.0.1:{port}/0"

    def start(self) -> Self:
        """Start it on its existing data; returns when it answers."""
        with (Path(self._folder.name) / "log").open("ab") as log:
            self._child = processes.spawn(self._argv, output=log)
        connection = Connection(self.url)
        deadline = time.monotonic() + 10
        while True:
            try:
                connection.ping()
                break
            except QueueUnavailable:
                if time.monotonic() > deadline or self._child.poll() is not None:
                    raise
                time.sleep(0.02)
        connection.close()
        return self

    def kill(self) -> None:
        """SIGKILL it; its append-only file stays."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def close(self) -> None:
        """Stop it and delete its data."""
        self.kill()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


class SilentDoorbell:
    """A doorbell that only records its calls."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, Lane]] = []

    def ring(self, job_id: str, lane: Lane) -> bool:
        self.rung.append((job_id, lane))
        return True


class MemoryStorage:
    """Objects in a dict; `down` makes every call fail as if the storage were down."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.down = False
        self.full = False
        self.age = 0.0  # seconds since every object was stored, for `walk`

    def put(self, key: str, data: bytes | BinaryIO, content_type: str) -> None:  # noqa: ARG002
        self.ping()
        self.objects[key] = data if isinstance(data, bytes) else data.read()

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        self.ping()
        if key not in self.objects:
            raise NotFound(f"no such object: {key}")
        return self.objects[key][:limit]

    def size(self, key: str) -> int | None:
        self.ping()
        return len(self.objects[key]) if key in self.objects else None

    def version(self, key: str) -> str | None:
        self.ping()
        return hashlib.sha256(self.objects[key]).hexdigest() if key in self.objects else None

    def copy(self, source: str, target: str, version: str) -> None:
        if self.version(source) != version:
            raise NotFound(f"no such object: {source}")
        self.objects[target] = self.objects[source]

    def delete(self, keys: Sequence[str]) -> None:
        self.ping()
        for key in keys:
            self.objects.pop(key, None)

    def presign_get(
        self,
        key: str,  # noqa: ARG002
        *,
        expires: float,  # noqa: ARG002
        content_type: str,  # noqa: ARG002
        filename: str,  # noqa: ARG002
    ) -> str | None:
        return None

    def presign_put(
        self,
        key: str,
        *,
        expires: float,  # noqa: ARG002
        size: int,
        content_type: str,
        base_url: str,
    ) -> SignedPut:
        self.ping()
        token = f"{size}-{key.replace('/', '.')}"
        return SignedPut(f"{base_url}/v1/uploads/content/{token}", {"Content-Type": content_type})

    def redeem(self, token: str) -> Grant:
        size, _, key = token.partition("-")
        if not size.isdigit():
            raise NotFound
        return Grant(key.replace(".", "/"), int(size))

    def walk(self, after: str = "") -> Iterator[Stored]:
        self.ping()
        for key in sorted(self.objects):
            if key > after:
                yield Stored(key, time.time() - self.age)

    def tidy(self) -> int:
        self.ping()
        return 0

    def require_room(self) -> None:
        if self.full:
            raise StorageUnavailable("the storage is full")

    def ping(self) -> None:
        if self.down:
            raise StorageUnavailable
