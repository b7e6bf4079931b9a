"""The folder that holds a stack's state: its lock, its secrets, its logs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from nukki import private_files, secrets_file
from shared import logs
from shared.errors import ConfigError, ServiceError

#: Bytes of a log; one older part of the same size is kept beside it.
_LOG_LIMIT = 10 * 1024 * 1024
_SUBFOLDERS = ("redis", "logs")
#: What a data folder may hold before a stack has run on it, or where it has been moved to.
_OWN_NAMES = frozenset({*_SUBFOLDERS, "storage", "models", "nukki.lock", "secrets.json"})


class AlreadyRunning(ServiceError):
    """A stack already runs on this data folder."""

    default_message = "A stack already runs on this data folder."


@dataclass(slots=True)
class DataFolder:
    """One stack's folder on disk."""

    path: Path
    _lock: IO[str] | None = field(default=None, init=False)
    _logged: dict[str, int] = field(default_factory=dict, init=False)

    def prepare(self, say: Callable[[str], None] = lambda _line: None) -> None:
        """Make the folder, close it to other users, and lock it against a second stack.

        `say` is called with a line for each folder that was open to others.

        Raises:
            ConfigError: the folder cannot be used.
            AlreadyRunning: another stack has it.
        """
        try:
            self.path.mkdir(private_files.FOLDER_MODE, parents=True, exist_ok=True)
            for name in _SUBFOLDERS:
                (self.path / name).mkdir(private_files.FOLDER_MODE, exist_ok=True)
            self._close_to_others(say)
            lock = os.fdopen(
                private_files.open_private(self.path / "nukki.lock", os.O_RDWR | os.O_APPEND), "a+"
            )
        except OSError as error:
            raise ConfigError(f"cannot use {self.path}: {error.strerror}") from error
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

    def _close_to_others(self, say: Callable[[str], None]) -> None:
        """Tighten what is ours, and no more: `--data` may name a folder of other things too."""
        ours = {path.name for path in self.path.iterdir()} <= _OWN_NAMES
        folders = [self.path] if ours else []
        folders += [self.path / name for name in (*_SUBFOLDERS, "storage")]
        for folder in folders:
            if folder.is_dir() and (folder == self.path or not folder.is_symlink()):
                found = private_files.tighten(folder)
                if found:
                    say(f"data     {found}")

    def release(self) -> None:
        """Give up this process's hold on the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def lock_descriptors(self) -> list[int]:
        """For the Redis to inherit: the folder stays locked as long as either process lives."""
        return [self._lock.fileno()] if self._lock else []

    @property
    def has_lost_secrets(self) -> bool:
        """Whether a stack ran here before, and the file of its secrets is gone."""
        ran = any((self.path / "redis").glob("appendonly*"))
        return ran and not (self.path / "secrets.json").exists()

    def secrets(self, tenants: Iterable[str]) -> dict[str, str]:
        """Generated once and kept: the Redis password and each tenant's webhook secret.

        Raises:
            ConfigError: the file that keeps them is damaged.
        """
        return secrets_file.kept(self.path / "secrets.json", tenants)

    @contextmanager
    def log(self, name: str) -> Iterator[IO[bytes]]:
        """A service's log, open for appending; a large one is set aside first."""
        self.rotate()
        flags = os.O_WRONLY | os.O_APPEND
        with os.fdopen(private_files.open_private(self._log(name), flags), "ab") as output:
            self._logged[name] = output.seek(0, os.SEEK_END)  # before that: earlier runs
            yield output

    def rotate(self) -> None:
        """Set aside each log that has grown too large, while its service goes on writing to it."""
        for path in (self.path / "logs").glob("*.log"):
            if path.stat().st_size > _LOG_LIMIT:
                self._logged.pop(path.stem, None)
                _set_aside(path)

    def last_lines(self, name: str) -> str:
        """The end of what a service logged in this run, indented; empty if it logged nothing."""
        text = self._log(name).read_bytes()[self._logged.get(name, 0) :]
        lines = [logs.escaped(line) for line in text.decode(errors="replace").split("\n") if line]
        return "".join([":", *(f"\n  {line}" for line in lines[-8:])]) if lines else ""

    def _log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"


def _set_aside(log: Path) -> None:
    """Copy the end of a log to `.log.1` and empty it.

    Renaming it would not do: its services hold it open. They append, so that they go on at its new
    end. What they write between copy and cut, within a millisecond, is lost. Where there is no room
    for the copy, the old lines are.
    """
    flags = os.O_WRONLY | os.O_TRUNC
    old = os.fdopen(private_files.open_private(log.with_suffix(".log.1"), flags), "wb")
    with log.open("rb+") as text, old:
        size = text.seek(0, os.SEEK_END)
        text.seek(max(0, size - _LOG_LIMIT))
        with contextlib.suppress(OSError):
            shutil.copyfileobj(text, old)
            old.flush()
        text.truncate(0)
