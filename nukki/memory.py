"""How much memory this machine, or the container around it, has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: The share of the memory that the embedded Redis may fill. Rewriting its file briefly needs as
#: much again, and the rest is the worker's.
_REDIS_SHARE = 0.25
_LEAST_FOR_REDIS = 64 * 1024 * 1024


def redis_limit(total: int | None = None) -> int:
    """Bytes that the embedded Redis may use; `total`: of memory, default `available`."""
    return max(_LEAST_FOR_REDIS, int((total or available()) * _REDIS_SHARE))


def available(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: the machine's, or less if its cgroup says so.

    `root` is the file system's; tests pass another.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_cgroup_limits(root)])


def _cgroup_limits(root: Path) -> Iterator[int]:
    """The limits of this process's cgroup and those around it, version 2 or 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        inner = base / path.lstrip("/")
        # In a container the path may be the host's, which is not there: then only `base` is.
        for folder in {base, inner, *(it for it in inner.parents if it.is_relative_to(base))}:
            try:
                yield int((folder / name).read_text())
            except (OSError, ValueError):  # no such file, or "max"
                continue
