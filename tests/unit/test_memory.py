"""The memory that `nukki up` gives to its Redis follows the machine and its cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest

from nukki import memory, redis_server
from shared.queue.connection import Connection
from shared.testing import RedisProcess

MB = 1024 * 1024


def tree(root: Path, cgroup: str, **limits: str) -> Path:
    """A file system in which this process is in `cgroup`; a limit's name has `__` for `/`."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, limit in limits.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(limit)
    return root


@pytest.mark.parametrize(
    ("cgroup", "limits", "found"),
    [
        ("0::/\n", {"memory_dot_max": f"{64 * MB}\n"}, 64),
        ("0::/app\n", {"memory_dot_max": "max\n", "app__memory_dot_max": f"{32 * MB}"}, 32),
        ("0::/app/one\n", {"app__memory_dot_max": f"{16 * MB}"}, 16),
        ("0::/host/path\n", {"memory_dot_max": f"{8 * MB}"}, 8),
        ("4:memory:/app\n0::/\n", {"memory__app__memory.limit_in_bytes": f"{4 * MB}"}, 4),
    ],
)
def test_a_cgroup_limits_the_memory(
    tmp_path: Path, cgroup: str, limits: dict[str, str], found: int
) -> None:
    assert memory.available(tree(tmp_path, cgroup, **limits)) == found * MB


@pytest.mark.parametrize("limit", ["max", "9223372036854771712", ""])
def test_without_a_limit_it_is_the_machines(tmp_path: Path, limit: str) -> None:
    root = tree(tmp_path, "0::/\n", memory_dot_max=limit)
    assert memory.available(root) == memory.available(tmp_path / "none")
    assert memory.available(root) > 64 * MB


def test_redis_gets_a_quarter_but_enough_to_work_with() -> None:
    assert memory.redis_limit(4000 * MB) == 1000 * MB
    assert memory.redis_limit(100 * MB) == 64 * MB


def test_redis_takes_the_configured_limit(tmp_path: Path) -> None:
    place = redis_server.place_socket(tmp_path)
    config = redis_server.write_config(tmp_path, place, "secret", 70 * MB)
    redis = RedisProcess("", 0)
    redis.url = redis_server.url(place, "secret")
    redis._argv = ["sh", "-c", 'exec "$0" - < "$1"', redis_server.find_server(), str(config)]
    with redis:
        connection = Connection(redis.url)
        found = connection.redis.config_get("maxmemory*")
        connection.close()
    assert int(found["maxmemory"]) == 70 * MB
    assert found["maxmemory-policy"] == "noeviction"
