"""The courier with receivers that hang, fail and disappear; real Redis, real sockets."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from shared import webhooks
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.deliveries import DeliveryState, NextStep
from shared.settings import CourierSettings
from shared.testing import RedisProcess
from tests.integration.conftest import until
from tests.unit.test_deliveries import Post
from worker.courier.rounds import Courier
from worker.courier.sender_threads import SENDER_THREADS

SECRET = webhooks.new_secret()


@dataclass
class Receiver:
    """A webhook receiver: its delay, its answer and the messages it has seen."""

    seconds: float = 0.0
    status: int = 204
    url: str = ""
    ids: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    leaving: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def saw(self, count: int) -> bool:
        return len(self.ids) == count

    def answer(self, message_id: str) -> int:
        with self.lock:
            self.ids.append(message_id)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.leaving.wait(self.seconds)
        with self.lock:
            self.at_once -= 1
        return self.status


class Listening(http.server.ThreadingHTTPServer):
    """A server for many connections, whose hung threads do not block its exit."""

    request_queue_size = 128
    daemon_threads = True


@contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.answer(self.headers["webhook-id"])
            try:
                self.send_response(status)
                self.end_headers()
            except OSError:
                pass  # the courier had timed out

        def log_message(self, *_: object) -> None:
            pass

    with Listening(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield receiver
        finally:
            receiver.leaving.set()
            server.shutdown()
            thread.join()


@contextmanager
def hanging(count: int) -> Iterator[list[str]]:
    """The URLs of this many receivers that accept connections and never answer."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=16))
            for _ in range(count)
        ]
        yield [f"http://127.0.0.1:{server.getsockname()[1]}/hook" for server in servers]


Run = Callable[..., None]


@pytest.fixture
def run(shared_redis: RedisProcess, connection: Connection, tmp_path: Path) -> Iterator[Run]:
    """Run couriers until the test's end."""
    couriers: list[tuple[Courier, threading.Thread]] = []

    def do(count: int = 1, **overrides: object) -> None:
        given: dict[str, object] = {
            "redis_url": shared_redis.url,
            "storage_dir": tmp_path / "storage",
            "webhook_secrets": f"shop:{SECRET}",
            "allow_networks": "127.0.0.0/8",
        }
        settings = CourierSettings.load(**(given | overrides))
        for _ in range(count):
            courier = Courier(settings)
            thread = threading.Thread(target=courier.run)
            thread.start()
            couriers.append((courier, thread))

    yield do
    for courier, _ in couriers:
        courier.stop()
    for _, thread in couriers:
        thread.join(timeout=30)
        assert not thread.is_alive()


@pytest.fixture
def post(connection: Connection) -> Post:
    return Post(connection)


def longest_wait(post: Post, receiver: Receiver) -> float:
    """The longest delay of twenty messages in seconds, each queued after the last arrived."""
    waited = []
    for _ in range(20):
        began, seen = time.monotonic(), len(receiver.ids)
        post.queue(receiver.url)
        until(partial(receiver.saw, seen + 1))
        waited.append(time.monotonic() - began)
    return max(waited)


def test_a_hanging_receiver_delays_no_other(post: Post, run: Run) -> None:
    with (
        receiving(Receiver(seconds=60)) as dead,
        receiving(Receiver()) as alive,
    ):
        for _ in range(200):
            post.queue(dead.url)
        run()
        until(lambda: dead.most_at_once == 4)
        assert longest_wait(post, alive) < 2.0
        assert dead.most_at_once == 4


def test_messages_queued_behind_a_hanging_receiver_arrive(post: Post, run: Run) -> None:
    with receiving(Receiver(seconds=60)) as dead, receiving(Receiver()) as alive:
        for _ in range(200):
            post.queue(dead.url)
        for _ in range(50):
            post.queue(alive.url)
        began = time.monotonic()
        run()
        until(lambda: len(alive.ids) == 50)
        assert time.monotonic() - began < 2.0
        assert len(set(alive.ids)) == 50


def test_many_hanging_receivers_delay_no_other(post: Post, run: Run) -> None:
    with ExitStack() as stack:
        dead = [stack.enter_context(receiving(Receiver(seconds=60))) for _ in range(10)]
        alive = stack.enter_context(receiving(Receiver()))
        for receiver in dead:
            for _ in range(10):
                post.queue(receiver.url)
        run()
        until(lambda: all(receiver.ids for receiver in dead))
        began = time.monotonic()
        post.queue(alive.url)
        until(lambda: alive.ids)
        assert time.monotonic() - began < 2.0


def carried(post: Post, tenant: str) -> int:
    """The number of the tenant's deliveries in progress."""
    return sum(map(post.redis.zcard, post.names(redis_keys.CARRIED.key(f"{tenant}/*"))))


def test_one_tenants_hanging_receivers_do_not_delay_other_tenants(post: Post, run: Run) -> None:
    with hanging(40) as dead, receiving(Receiver()) as alive:
        for url in dead * 4:
            post.queue(url, tenant="other")
        run(webhook_secrets=f"shop:{SECRET},other:{SECRET}")
        until(lambda: carried(post, "other") == SENDER_THREADS // 2)
        assert longest_wait(post, alive) < 2.0
        assert carried(post, "other") == SENDER_THREADS // 2


def test_a_tenants_hanging_receivers_do_not_delay_its_other_receivers(post: Post, run: Run) -> None:
    """Forty receivers have answered no attempt, and all their messages are due again."""
    with hanging(40) as dead, receiving(Receiver()) as alive:
        for url in dead * 4:
            post.queue(url)
        left = set(dead)
        while left:
            for delivery in post.take(per_receiver=1):
                post.settle(delivery, NextStep(DeliveryState.PENDING, 0), 0)
                left.discard(delivery.url)
        run()
        until(lambda: carried(post, "shop") == SENDER_THREADS // 2)
        began = time.monotonic()
        for _ in range(20):
            post.queue(alive.url)
        until(partial(alive.saw, 20))
        assert time.monotonic() - began < 2.0


def test_couriers_share_a_receivers_limit(post: Post, run: Run) -> None:
    with receiving(Receiver(seconds=0.05)) as slow:
        for _ in range(60):
            post.queue(slow.url)
        run(3, webhook_per_receiver=2)
        until(lambda: len(slow.ids) == 60)
        assert slow.most_at_once == 2
        assert len(set(slow.ids)) == 60


def test_a_killed_couriers_slots_are_freed(post: Post, run: Run) -> None:
    with receiving(Receiver()) as alive:
        for _ in range(4):
            post.queue(alive.url)
        lost = post.take(per_receiver=4, lease_ms=1_000)  # by a courier that then dies
        assert len(lost) == 4
        run()
        time.sleep(0.5)
        assert alive.ids == []
        until(lambda: len(alive.ids) == 4, 5)
        assert set(alive.ids) == {delivery.id for delivery in lost}


def test_a_receiver_that_answered_410_gets_nothing_until_a_replay(post: Post, run: Run) -> None:
    with receiving(Receiver(status=410)) as gone:
        first = post.queue(gone.url)
        run()
        until(lambda: gone.ids)
        until(lambda: post.log.of_job(first.id, "shop")[0].state == "suspended")
        later = post.queue(gone.url)
        time.sleep(0.6)
        assert len(gone.ids) == 1
        gone.status = 200
        post.log.replay(post.log.of_job(first.id, "shop")[0].id, "shop")
        until(lambda: len(gone.ids) == 2)
        assert gone.ids[0] == gone.ids[1]
        until(lambda: post.log.of_job(first.id, "shop")[0].state == "delivered")
        assert post.log.of_job(later.id, "shop")[0].state == "suspended"


def test_a_receiver_that_recovers_gets_everything_under_the_same_ids(post: Post, run: Run) -> None:
    with receiving(Receiver(status=503)) as shaky:
        jobs = [post.queue(shaky.url) for _ in range(10)]
        run(webhook_schedule="0,0.3,0.3,0.3,0.3,0.3")
        until(lambda: len(shaky.ids) >= 10)
        shaky.status = 200
        wanted = {"msg_" + job.id[4:] for job in jobs}
        until(lambda: post.redis.keys(redis_keys.WAITING.glob) == [])
        until(lambda: post.redis.keys(redis_keys.CARRIED.glob) == [])
        assert set(shaky.ids) == wanted
        states = {record.state for record in post.log.page("shop", limit=100).deliveries}
        assert states == {"delivered"}
