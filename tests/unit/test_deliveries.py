"""Webhooks as Redis keeps them, on each version of Redis that we promise to work with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import pytest

from shared.job import Job, Outcome, Status, Subject
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.deliveries import Delivery, DeliveryState, NextStep
from shared.queue.delivery_log import DeliveryLog, DeliveryRecord
from shared.queue.lanes import DepthReader
from shared.queue.leases import Claim
from shared.schema import Webhook
from tests.unit.test_queue import DONE, FAILED, House

URL = "http://x.example/hook"
DOUBTFUL = DONE.model_copy(
    update={
        "subject": Subject(
            box=(0, 0, 1, 1), area=0.5, scores=(0.4,), needs_review=True, reasons=("faint",)
        )
    }
)
#: Where deliveries and their receivers stand with a date.
DATED = (redis_keys.RECEIVERS, redis_keys.WAITING, redis_keys.CARRIED)
DELIVERED = NextStep(DeliveryState.DELIVERED)
SUSPENDED = NextStep(DeliveryState.SUSPENDED)
DEAD = NextStep(DeliveryState.DEAD)
#: What Redis holds of deliveries that wait or are on their way, and of nothing else.
QUEUED = (redis_keys.SHARES.glob, *(family.glob for family in DATED))


class Post(House):
    """The queue, and its webhooks."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.log = DeliveryLog(connection)

    def queue(
        self,
        url: str = URL,
        *,
        tenant: str = "shop",
        outcome: Outcome = DONE,
        events: object = None,
    ) -> Job:
        """A job with a webhook, ended."""
        given = {"url": url} if events is None else {"url": url, "events": events}
        hook = Webhook.model_validate(given)
        claim = self.claim(self.accept(tenant=tenant, webhook=hook))
        self.leases.finish(claim, Status.SUCCEEDED, outcome)
        return claim.job

    def take(
        self,
        limit: int = 64,
        *,
        per_receiver: int = 100,
        lease_ms: int = 60_000,
        in_flight: Mapping[str, int] | None = None,
    ) -> list[Delivery]:
        return self.deliveries.take(
            limit=limit, per_receiver=per_receiver, lease_ms=lease_ms, in_flight=in_flight
        )

    def settle(self, delivery: Delivery, step: NextStep, status: int = 200) -> bool:
        return self.deliveries.settle(delivery, step, took_ms=7, status=status)

    def lose(self, delivery: Delivery) -> None:
        """Let its courier have died, and its lease be over."""
        self.redis.zadd(redis_keys.CARRIED.key(receiver(delivery)), {delivery.id: 1}, xx=True)
        self.redis.zadd(redis_keys.RECEIVERS.key(delivery.share), {receiver(delivery): 1}, xx=True)

    def record(self, delivery: Delivery) -> DeliveryRecord:
        return self.log.get(delivery.id, delivery.tenant)

    def pending(self) -> int:
        return DepthReader(self.connection).read().webhooks

    def pass_time(self, seconds: float) -> None:
        """Let so much time have passed for all deliveries that wait or are on their way."""
        for name in self.names(*(family.glob for family in DATED)):
            for member in self.redis.zrange(name, 0, -1):
                self.redis.zincrby(name, -seconds * 1000, member)

    def names(self, *patterns: str) -> list[str]:
        found = [self.redis.keys(pattern) for pattern in patterns]
        return [str(name) for names in found for name in names]


def receiver(delivery: Delivery) -> str:
    """Whom Redis has it wait for: the tenant's, by host and port."""
    return f"{delivery.tenant}/{urlsplit(delivery.url).netloc}"


@pytest.fixture
def post(each_connection: Connection) -> Post:
    return Post(each_connection)


class TestTelling:
    @pytest.mark.parametrize(
        ("end", "event"),
        [
            (lambda post, claim: post.leases.finish(claim, Status.SUCCEEDED, DONE), "succeeded"),
            (lambda post, claim: post.leases.finish(claim, Status.FAILED, FAILED), "failed"),
            (lambda post, claim: post.jobs.cancel(claim.job.id, "shop"), "canceled"),
        ],
    )
    def test_each_end_of_a_job_is_told_once(
        self, post: Post, end: Callable[[Post, Claim], object], event: str
    ) -> None:
        claim = post.claim(post.accept(webhook=Webhook(url=URL)))
        end(post, claim)
        (delivery,) = post.take()
        assert (delivery.event, delivery.attempt, delivery.token) == (f"job.{event}", 1, 1)
        assert delivery.id == "msg_" + claim.job.id[4:]
        assert (delivery.job_id, delivery.url) == (claim.job.id, URL)
        assert post.take() == []

    @pytest.mark.parametrize(
        ("events", "outcome", "told"),
        [
            (None, DONE, ["job.succeeded"]),
            (None, DOUBTFUL, ["job.succeeded"]),
            (["job.succeeded"], DOUBTFUL, ["job.succeeded"]),
            (["job.failed"], DONE, []),
            (["job.failed"], DOUBTFUL, []),
            (["job.needs_review"], DONE, []),
            (["job.needs_review"], DOUBTFUL, ["job.needs_review"]),
            (["job.needs_review", "job.succeeded"], DONE, ["job.succeeded"]),
            (
                ["job.needs_review", "job.succeeded"],
                DOUBTFUL,
                ["job.succeeded", "job.needs_review"],
            ),
        ],
    )
    def test_what_is_asked_for_is_told_and_no_more(
        self, post: Post, events: object, outcome: Outcome, told: list[str]
    ) -> None:
        job = post.queue(events=events, outcome=outcome)
        taken = post.take()
        assert [delivery.event for delivery in taken] == told
        tail = job.id[4:]
        ids = {"job.succeeded": f"msg_{tail}", "job.needs_review": f"msg_{tail}_review"}
        assert [delivery.id for delivery in taken] == [ids[event] for event in told]
        assert {delivery.job_id for delivery in taken} <= {job.id}

    def test_a_failed_job_needs_no_review(self, post: Post) -> None:
        hook = Webhook.model_validate({"url": URL, "events": ["job.needs_review"]})
        claim = post.claim(post.accept(webhook=hook))
        post.leases.finish(claim, Status.FAILED, FAILED)
        assert post.take() == []

    def test_a_url_of_any_form_ends_its_job(self, post: Post) -> None:
        for url in (
            "http://?",
            "https:///x",
            "http://[::1]:1/",
            "http://%/",
            "http://" + "a" * 2000,
        ):
            job = post.queue(url)
            assert post.status(job.id) is Status.SUCCEEDED
        assert len(post.take()) == 5


class TestLease:
    def test_a_lost_try_is_logged_and_made_again_under_the_same_id(self, post: Post) -> None:
        post.queue()
        (lost,) = post.take(lease_ms=1)
        time.sleep(0.01)
        (again,) = post.take()
        assert (again.id, again.attempt, again.token) == (lost.id, 1, 2)
        assert not post.settle(lost, DELIVERED)
        assert post.settle(again, DELIVERED)
        assert [item.error for item in post.record(again).tries] == ["the courier was lost", None]
        assert post.names(*QUEUED) == []

    def test_a_late_settlement_still_counts_while_nobody_took_it_again(self, post: Post) -> None:
        post.queue()
        (late,) = post.take(lease_ms=1)
        time.sleep(0.01)
        assert post.settle(late, DELIVERED)
        assert post.take() == []
        assert post.record(late).state is DeliveryState.DELIVERED

    def test_a_try_is_settled_once(self, post: Post) -> None:
        post.queue()
        (delivery,) = post.take()
        assert post.settle(delivery, DELIVERED)
        assert not post.settle(delivery, DEAD)
        assert post.record(delivery).state is DeliveryState.DELIVERED
        assert len(post.record(delivery).tries) == 1

    def test_a_retry_waits_its_time(self, post: Post) -> None:
        post.queue()
        (delivery,) = post.take()
        post.settle(delivery, NextStep(DeliveryState.PENDING, 60), 500)
        assert post.take() == []
        due = post.record(delivery).due_ms
        assert due is not None
        assert 0 < due - post.now() <= 60
        time.sleep(0.07)
        (again,) = post.take()
        assert (again.id, again.attempt) == (delivery.id, 2)
        assert post.record(again).due_ms is None


class TestReceivers:
    def test_one_receiver_has_so_many_in_flight_and_the_others_theirs(self, post: Post) -> None:
        for number in range(30):
            post.queue(f"http://one.example/{number}")
        for number in range(3):
            post.queue(f"http://two.example:8080/{number}")
        taken = [delivery.url for delivery in post.take(limit=20, per_receiver=4)]
        assert sum("one.example" in url for url in taken) == 4
        assert sum("two.example" in url for url in taken) == 3
        assert post.take(limit=20, per_receiver=4) == []

    def test_a_settled_try_makes_room(self, post: Post) -> None:
        for _ in range(3):
            post.queue()
        first, _ = post.take(per_receiver=2)
        post.settle(first, NextStep(DeliveryState.PENDING, 60_000), 500)
        (third,) = post.take(per_receiver=2)
        assert third.id != first.id

    def test_a_dead_couriers_places_fall_free(self, post: Post) -> None:
        for _ in range(3):
            post.queue()
        lost = post.take(per_receiver=2, lease_ms=30)
        assert len(lost) == 2
        assert post.take(per_receiver=2) == []
        time.sleep(0.04)
        assert len(post.take(per_receiver=2)) == 2

    def test_host_and_port_make_a_receiver_whatever_the_case_and_path(self, post: Post) -> None:
        for url in ("http://X.example/a", "https://x.EXAMPLE?b", "http://x.example", URL):
            post.queue(url)
        post.queue("http://x.example:81/")
        assert len(post.take(per_receiver=1)) == 2

    def test_receivers_take_turns(self, post: Post) -> None:
        for _ in range(8):
            post.queue("http://busy.example/")
        first = post.take(limit=1)
        post.queue("http://other.example/")
        second = post.take(limit=1) + post.take(limit=1)
        assert [delivery.url for delivery in first] == ["http://busy.example/"]
        assert "http://other.example/" in {delivery.url for delivery in second}

    def test_ten_thousand_before_it_do_not_slow_a_take(self, post: Post) -> None:
        """The take looks at receivers, not at deliveries: counted by Redis's own commands."""
        post.queue("http://dead.example/")
        post.take(per_receiver=1)
        (waiting,) = post.names(redis_keys.CARRIED.glob)
        queued = {f"msg_{number:024x}": 1 for number in range(10_000)}
        post.redis.zadd(waiting.replace("carried", "waiting"), queued)
        post.queue("http://alive.example/")
        post.redis.zadd(redis_keys.RECEIVERS.key("shop"), {"shop/dead.example": 0}, xx=True)
        before = calls(post)
        (delivery,) = post.take(per_receiver=1)
        assert delivery.url == "http://alive.example/"
        assert calls(post) - before < 60

    def test_a_record_that_is_gone_stops_nobody(self, post: Post) -> None:
        gone, kept = post.queue(), post.queue()
        post.redis.delete(redis_keys.DELIVERY.key(f"msg_{gone.id[4:]}"))
        assert [delivery.job_id for delivery in post.take()] == [kept.id]


@pytest.mark.parametrize("step", [DELIVERED, DEAD, SUSPENDED])
def test_what_is_pending_is_counted(post: Post, step: NextStep) -> None:
    for _ in range(2):
        post.queue()
    assert post.pending() == 2
    first, second = post.take()
    assert post.pending() == 2
    post.settle(first, NextStep(DeliveryState.PENDING, 60_000), 500)
    post.settle(second, step, 500)
    assert post.pending() == 1
    for _ in range(2):
        post.log.replay(second.id, "shop")
    assert post.pending() == 2
    for delivery in post.take():
        post.settle(delivery, DELIVERED)
    post.log.replay(first.id, "shop")
    for delivery in post.take():
        post.settle(delivery, DELIVERED)
    assert post.pending() == 0


def calls(post: Post) -> int:
    """How many commands Redis has run, those inside scripts too."""
    return int(sum(item["calls"] for item in post.redis.info("commandstats").values()))


def test_a_delivery_takes_less_than_a_kibibyte(post: Post) -> None:
    def used() -> int:
        return int(post.redis.info("memory")["used_memory_dataset"])

    def grown(count: int, *, hook: bool) -> float:
        before = used()
        for _ in range(count):
            webhook = Webhook(url="https://shop.example/hooks/nukki") if hook else None
            claim = post.claim(post.accept(webhook=webhook))
            post.leases.finish(claim, Status.SUCCEEDED, DONE)
        for delivery in post.take(limit=4 * count, per_receiver=count):
            post.settle(delivery, DELIVERED)
        return (used() - before) / count

    assert grown(500, hook=True) - grown(500, hook=False) < 1024
