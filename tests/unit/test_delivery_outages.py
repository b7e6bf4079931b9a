"""Our own outages, and couriers that die: what they cost a webhook, on a moved clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shared.errors import QueueUnavailable
from shared.outbound import Answer
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.deliveries import LONGEST_WAIT_MS, MOST_LOST, Delivery, DeliveryState, NextStep
from shared.queue.delivery_log import DeliveryRecord
from shared.records import Records
from shared.testing import MemoryStorage
from shared.webhooks import SecretBook, new_secret
from tests.unit.test_deliveries import DELIVERED, QUEUED, Post
from tests.web import Server, answer, outbound
from worker.courier.redelivery import OUTAGE_DELAY, decide
from worker.courier.webhook_sender import WebhookSender

SCHEDULE = (0, 5, 300, 1800)
AGAIN = NextStep(DeliveryState.PENDING, 0)
PUT_OFF = NextStep(DeliveryState.PENDING, 0, spends=False)


@pytest.fixture
def post(connection: Connection) -> Post:
    return Post(connection)


@pytest.fixture
def each_post(each_connection: Connection) -> Post:
    return Post(each_connection)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.scripts["/hook"] = answer(500)
        yield running


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def postman(post: Post, storage: MemoryStorage) -> WebhookSender:
    return WebhookSender(
        post.deliveries,
        Records(post.jobs, storage),
        outbound(("127.0.0.1/32",)),
        SecretBook([("shop", new_secret())]),
        schedule=SCHEDULE,
        timeout=5.0,
    )


def archived(post: Post, storage: MemoryStorage, url: str) -> DeliveryRecord:
    """A delivery whose job only the storage still has."""
    job = post.queue(url)
    assert Records(post.jobs, storage).archive(job.id)
    return post.log.of_job(job.id, "shop")[0]


class TestOutage:
    def test_minutes_without_storage_leave_the_schedule_whole(
        self, post: Post, server: Server, storage: MemoryStorage, postman: WebhookSender
    ) -> None:
        record = archived(post, storage, server.url("/hook"))
        storage.down = True
        for _ in range(20):  # ten minutes: far more than there are tries
            (delivery,) = post.take()
            postman.deliver(delivery)
            post.pass_time(1.1 * OUTAGE_DELAY)
        assert server.connections == 0
        storage.down = False
        states = []
        for wait in (*SCHEDULE[1:], 0):
            (delivery,) = post.take()
            postman.deliver(delivery)
            states.append(post.record(delivery).state)
            post.pass_time(1.1 * wait)
        assert states == ["pending"] * (len(SCHEDULE) - 1) + ["dead"]
        assert server.connections == len(SCHEDULE)
        assert [item.status for item in post.log.get(record.id, "shop").tries] == [500] * 4

    def test_it_is_looked_at_again_after_half_a_minute(
        self, post: Post, server: Server, storage: MemoryStorage, postman: WebhookSender
    ) -> None:
        archived(post, storage, server.url("/hook"))
        storage.down = True
        (delivery,) = post.take()
        postman.deliver(delivery)
        record = post.record(delivery)
        assert (record.state, record.tries) == ("pending", ())
        assert record.due_ms is not None
        assert abs(record.due_ms - post.now() - 30_000) < 4_000
        assert post.take() == []
        post.pass_time(33)
        assert [again.attempt for again in post.take()] == [1]

    def test_a_redis_that_is_away_leaves_the_lease_to_run_out(
        self, post: Post, server: Server, postman: WebhookSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        post.queue(server.url("/hook"))
        (delivery,) = post.take()

        def away(*_: Any, **__: Any) -> None:
            raise QueueUnavailable

        monkeypatch.setattr(post.connection, "run", away)
        monkeypatch.setattr(post.jobs, "get", away)
        with pytest.raises(QueueUnavailable):
            postman.deliver(delivery)
        monkeypatch.undo()
        assert server.connections == 0
        post.pass_time(60)
        assert [(again.id, again.attempt) for again in post.take()] == [(delivery.id, 1)]

    def test_what_could_not_be_read_is_settled_where_redis_is_back(
        self, post: Post, server: Server, postman: WebhookSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        post.queue(server.url("/hook"))
        (delivery,) = post.take()

        def away(*_: Any) -> None:
            raise QueueUnavailable

        monkeypatch.setattr(post.jobs, "get", away)
        postman.deliver(delivery)
        assert post.names(redis_keys.CARRIED.glob) == []
        assert post.record(delivery).state == "pending"


class TestLoss:
    def test_dead_couriers_leave_the_schedule_whole(self, each_post: Post) -> None:
        each_post.queue()
        (delivery,) = each_post.take()
        for _ in range(MOST_LOST - 1):
            delivery = lost(each_post, delivery)
        attempts, found = [], [delivery]
        while found:
            attempts.append(found[0].attempt)
            each_post.settle(found[0], decide(Answer(500), found[0].attempt, (0,) * 4), 500)
            found = each_post.take()
        assert attempts == [1, 2, 3, 4]

    def test_it_is_sent_again_at_once_and_then_ever_later_and_then_is_dead(
        self, each_post: Post
    ) -> None:
        each_post.queue()
        (delivery,) = each_post.take()
        waits = []
        for _ in range(MOST_LOST - 1):
            each_post.lose(delivery)
            found = each_post.take(lease_ms=30_000)
            due = each_post.record(delivery).due_ms
            waits.append(0 if due is None else round((due - each_post.now()) / 1000))
            each_post.pass_time(waits[-1])
            (delivery,) = found or each_post.take(lease_ms=30_000)
        assert waits == [0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
        each_post.lose(delivery)
        assert each_post.take() == []
        record = each_post.record(delivery)
        assert (record.state, each_post.pending()) == ("dead", 0)
        assert {item.error for item in record.tries} == {"the courier was lost"}
        assert len(record.tries) == MOST_LOST
        assert each_post.names(*QUEUED) == []
        assert not each_post.settle(delivery, DELIVERED)

    @pytest.mark.parametrize(("step", "kept"), [(AGAIN, 11), (PUT_OFF, 1)])
    def test_a_try_that_was_made_begins_the_count_anew(
        self, post: Post, step: NextStep, kept: int
    ) -> None:
        post.queue()
        (delivery,) = post.take()
        for _ in range(MOST_LOST - 2):
            delivery = lost(post, delivery)
        post.settle(delivery, step, 500)
        (delivery,) = post.take()
        for _ in range(kept):
            delivery = lost(post, delivery)
        post.lose(delivery)
        assert post.take() == []
        assert post.record(delivery).state == "dead"

    def test_a_replay_begins_the_count_anew(self, post: Post) -> None:
        post.queue()
        (delivery,) = post.take()
        for _ in range(MOST_LOST - 1):
            delivery = lost(post, delivery)
        post.lose(delivery)
        post.take()
        assert post.log.replay(delivery.id, "shop").state == "pending"
        (delivery,) = post.take()
        for _ in range(MOST_LOST - 1):
            delivery = lost(post, delivery)

    def test_a_late_settlement_counts_its_try(self, post: Post) -> None:
        post.queue()
        (late,) = post.take()
        late = lost(post, late)
        post.lose(late)
        assert post.take() == []  # lost again, and put off
        assert post.settle(late, AGAIN, 500)
        assert [item.attempt for item in post.take()] == [2]

    def test_one_whose_record_is_gone_is_forgotten(self, post: Post) -> None:
        post.queue()
        (delivery,) = post.take()
        post.redis.delete(redis_keys.DELIVERY.key(delivery.id))
        post.lose(delivery)
        assert post.take() == []
        pending, tries = redis_keys.PENDING.glob, redis_keys.TRIES.glob
        gone = (pending, tries, redis_keys.DELIVERY.key(delivery.id))
        assert post.names(*QUEUED, *gone) == []


def lost(post: Post, delivery: Delivery) -> Delivery:
    """It, taken by the next courier."""
    post.lose(delivery)
    found = post.take()
    if not found:
        post.pass_time(LONGEST_WAIT_MS / 1000)
        found = post.take()
    (again,) = found
    assert again.attempt == delivery.attempt
    return again
