"""The folder that holds a stack's state: its lock, its secrets, its logs."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from shared import webhooks
from shared.errors import ConfigError, ServiceError

_LOG_LIMIT = 10 * 1024 * 1024


class AlreadyRunning(ServiceError):
    """A stack already runs on this data folder."""

    default_message = "A stack already runs on this data folder."


@dataclass(slots=True)
class DataFolder:
    """One stack's folder on disk."""

    path: Path
    _lock: IO[str] | None = field(default=None, init=False)
    _logged: dict[str, int] = field(default_factory=dict, init=False)

    def prepare(self) -> None:
        """Make the folder and lock it, so that no second stack uses it.

        Raises:
            ConfigError: the folder cannot be used.
            AlreadyRunning: another stack has it.
        """
        try:
            (self.path / "redis").mkdir(parents=True, exist_ok=True)
            (self.path / "logs").mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot use {self.path}: {error.strerror}") from error
        lock = (self.path / "nukki.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise AlreadyRunning(
                f"nukki is already running on {self.path} (pid {holder})"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Give up this process's hold on the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def lock_descriptors(self) -> list[int]:
        """For the Redis to inherit: the folder stays locked as long as either process lives."""
        return [self._lock.fileno()] if self._lock else []

    def secrets(self, tenants: Iterable[str]) -> dict[str, str]:
        """Generated once and kept: the Redis password and each tenant's webhook secret."""
        path = self.path / "secrets.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        wanted = {"redis": secrets.token_hex(24)}
        wanted |= {f"webhook:{tenant}": webhooks.new_secret() for tenant in sorted(tenants)}
        if wanted.keys() - known.keys():
            known = wanted | known
            path.touch(mode=0o600)
            path.write_text(json.dumps(known, indent=1))
        return known

    @contextmanager
    def log(self, name: str) -> Iterator[IO[bytes]]:
        """A service's log, open for appending; a large one is set aside first."""
        path = self.path / "logs" / f"{name}.log"
        if path.exists() and path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as output:
            self._logged[name] = output.tell()  # what is there already is from earlier runs
            yield output

    def last_lines(self, name: str) -> str:
        """The end of what a service logged in this run, indented; empty if it logged nothing."""
        text = (self.path / "logs" / f"{name}.log").read_bytes()[self._logged.get(name, 0) :]
        lines = text.decode(errors="replace").splitlines()[-8:]
        return ":\n  " + "\n  ".join(lines) if lines else ""
