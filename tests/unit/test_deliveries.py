"""Webhooks as Redis keeps them, on each version of Redis that we promise to work with."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from shared.errors import NotFound
from shared.job import Job, Outcome, Status, Subject
from shared.queue.connection import PREFIX, Connection
from shared.queue.deliveries import Delivery, DeliveryState, Verdict
from shared.queue.delivery_log import DeliveryLog, DeliveryRecord, Try
from shared.queue.lanes import BacklogReader
from shared.queue.leases import Claim
from shared.spec import Webhook
from tests.unit.test_queue import DONE, FAILED, House

URL = "http://x.example/hook"
DOUBTFUL = DONE.model_copy(
    update={
        "subject": Subject(
            box=(0, 0, 1, 1), area=0.5, scores=(0.4,), needs_review=True, reasons=("faint",)
        )
    }
)
DELIVERED = Verdict(DeliveryState.DELIVERED)
SUSPENDED = Verdict(DeliveryState.SUSPENDED)
DEAD = Verdict(DeliveryState.DEAD)


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
        self, limit: int = 10, *, per_receiver: int = 100, lease_ms: int = 60_000
    ) -> list[Delivery]:
        return self.deliveries.take(limit=limit, per_receiver=per_receiver, lease_ms=lease_ms)

    def settle(self, delivery: Delivery, verdict: Verdict, status: int = 200) -> bool:
        return self.deliveries.settle(delivery, verdict, took_ms=7, status=status)

    def record(self, delivery: Delivery) -> DeliveryRecord:
        return self.log.get(delivery.id, delivery.tenant)

    def pending(self) -> int:
        return BacklogReader(self.connection).read().webhooks

    def names(self, *kinds: str) -> list[str]:
        found = [self.redis.keys(f"{PREFIX}{kind}") for kind in kinds]
        return [str(name) for names in found for name in names]


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
        assert (again.id, again.attempt, again.token) == (lost.id, 2, 2)
        assert not post.settle(lost, DELIVERED)
        assert post.settle(again, DELIVERED)
        assert [item.error for item in post.record(again).tries] == ["the courier was lost", None]
        assert post.names("receivers", "waiting:*", "carried:*") == []

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
        post.settle(delivery, Verdict(DeliveryState.PENDING, 60), 500)
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
        post.settle(first, Verdict(DeliveryState.PENDING, 60_000), 500)
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
        (waiting,) = post.names("carried:*")
        queued = {f"msg_{number:024x}": 1 for number in range(10_000)}
        post.redis.zadd(waiting.replace("carried", "waiting"), queued)
        post.queue("http://alive.example/")
        post.redis.zadd(f"{PREFIX}receivers", {"dead.example": 0})
        before = calls(post)
        (delivery,) = post.take(per_receiver=1)
        assert delivery.url == "http://alive.example/"
        assert calls(post) - before < 60

    def test_a_record_that_is_gone_stops_nobody(self, post: Post) -> None:
        gone, kept = post.queue(), post.queue()
        post.redis.delete(f"{PREFIX}delivery:msg_{gone.id[4:]}")
        assert [delivery.job_id for delivery in post.take()] == [kept.id]


@pytest.mark.parametrize("verdict", [DELIVERED, DEAD, SUSPENDED])
def test_what_is_pending_is_counted(post: Post, verdict: Verdict) -> None:
    for _ in range(2):
        post.queue()
    assert post.pending() == 2
    first, second = post.take()
    assert post.pending() == 2
    post.settle(first, Verdict(DeliveryState.PENDING, 60_000), 500)
    post.settle(second, verdict, 500)
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


class TestSuspension:
    def test_a_gone_url_is_sent_nothing_more_of_this_tenant(self, post: Post) -> None:
        queued = {post.queue().id, post.queue().id}
        (first,) = post.take(limit=1)
        assert post.settle(first, SUSPENDED, 410)
        later = post.queue().id
        assert post.take() == []
        for job_id in (queued - {first.job_id}) | {later}:
            (record,) = post.log.of_job(job_id, "shop")
            assert (record.state, record.tries, record.due_ms) == (
                DeliveryState.SUSPENDED,
                (),
                None,
            )
        assert post.names("receivers", "waiting:*", "carried:*") == []

    def test_other_urls_and_other_tenants_are_sent_theirs(self, post: Post) -> None:
        post.queue()
        post.settle(post.take()[0], SUSPENDED, 410)
        post.queue(URL + "2")
        post.queue(tenant="other")
        assert {(item.tenant, item.url) for item in post.take()} == {
            ("shop", URL + "2"),
            ("other", URL),
        }

    def test_a_replay_lifts_it(self, post: Post) -> None:
        post.queue()
        (gone,) = post.take()
        post.settle(gone, SUSPENDED, 410)
        post.queue()
        record = post.log.replay(gone.id, "shop")
        assert record.state is DeliveryState.PENDING
        (again,) = post.take()
        assert (again.id, again.attempt) == (gone.id, 1)
        post.settle(again, DELIVERED)
        post.queue()
        assert len(post.take()) == 1

    def test_many_queued_for_a_gone_url_are_set_aside_in_bounded_steps(self, post: Post) -> None:
        post.queue()
        post.settle(post.take()[0], SUSPENDED, 410)
        jobs = [post.queue("http://y.example/") for _ in range(5)]
        post.redis.zadd(f"{PREFIX}suspended:shop", {"http://y.example/": post.now() + 60_000})
        assert post.take(limit=1) == []
        assert post.pending() == 0
        states = {post.log.of_job(job.id, "shop")[0].state for job in jobs}
        assert states == {DeliveryState.SUSPENDED}

    def test_it_is_forgotten_with_the_last_delivery_that_could_be_replayed(
        self, post: Post
    ) -> None:
        post.queue()
        post.settle(post.take()[0], SUSPENDED, 410)
        name = f"{PREFIX}suspended:shop"
        assert 0 < post.redis.pttl(name) <= 60_000  # the tests' retention
        post.redis.zadd(name, {URL: post.now() - 1})
        post.queue()
        assert len(post.take()) == 1


class TestReplay:
    @pytest.mark.parametrize("verdict", [DELIVERED, DEAD, SUSPENDED])
    def test_what_is_settled_is_sent_again_by_the_whole_schedule(
        self, post: Post, verdict: Verdict
    ) -> None:
        post.queue()
        (first,) = post.take()
        post.settle(first, Verdict(DeliveryState.PENDING, 0), 500)
        (second,) = post.take()
        assert second.attempt == 2
        post.settle(second, verdict, 500)
        post.log.replay(first.id, "shop")
        (replayed,) = post.take()
        assert (replayed.id, replayed.attempt, replayed.token) == (first.id, 1, 3)

    def test_one_that_waits_is_sent_at_once(self, post: Post) -> None:
        post.queue()
        (first,) = post.take()
        post.settle(first, Verdict(DeliveryState.PENDING, 60_000), 500)
        post.log.replay(first.id, "shop")
        assert [delivery.attempt for delivery in post.take()] == [1]

    def test_one_on_its_way_is_left_to_arrive(self, post: Post) -> None:
        post.queue()
        (first,) = post.take()
        post.log.replay(first.id, "shop")
        assert post.take() == []
        assert post.settle(first, DELIVERED)
        assert post.take() == []

    def test_asking_twice_sends_once(self, post: Post) -> None:
        post.queue()
        (first,) = post.take()
        post.settle(first, DEAD, 500)
        for _ in range(3):
            post.log.replay(first.id, "shop")
        assert len(post.take()) == 1
        assert post.take() == []

    @pytest.mark.parametrize("verdict", [DEAD, SUSPENDED])
    def test_another_tenants_is_not_there(self, post: Post, verdict: Verdict) -> None:
        post.queue()
        (first,) = post.take()
        post.settle(first, verdict, 500)
        for ask in (post.log.replay, post.log.get):
            with pytest.raises(NotFound):
                ask(first.id, "other")
        assert post.take() == []
        assert post.record(first).state is verdict.state


class TestLog:
    def test_each_try_is_kept(self, post: Post) -> None:
        post.queue()
        (first,) = post.take()
        post.deliveries.settle(
            first, Verdict(DeliveryState.PENDING, 0), took_ms=250, status=0, error="no answer: x y"
        )
        post.settle(post.take()[0], DELIVERED, 204)
        record = post.record(first)
        assert (record.state, record.attempts) == (DeliveryState.DELIVERED, 2)
        failed, succeeded = record.tries
        assert failed == Try(failed.began_ms, 250, None, "no answer: x y")
        assert succeeded == Try(succeeded.began_ms, 7, 204, None)
        assert abs(failed.began_ms + 250 - post.now()) < 1_000

    def test_of_many_tries_the_last_twenty_are_kept(self, post: Post) -> None:
        post.queue()
        for status in range(500, 525):
            (delivery,) = post.take()
            post.settle(delivery, Verdict(DeliveryState.PENDING, 0), status)
        record = post.record(delivery)
        assert [item.status for item in record.tries] == list(range(505, 525))
        assert record.attempts == 25

    def test_pages_go_from_the_newest_to_the_oldest(self, post: Post) -> None:
        jobs = [post.queue() for _ in range(5)]
        seen, cursor = [], None
        for _ in range(3):
            page = post.log.page("shop", limit=2, cursor=cursor)
            seen += [record.job_id for record in page.deliveries]
            cursor = page.cursor
        assert seen == [job.id for job in reversed(jobs)]
        assert cursor is None
        assert post.log.page("other", limit=2).deliveries == ()

    def test_a_state_is_filtered_by(self, post: Post) -> None:
        for verdict in (DELIVERED, DEAD, DELIVERED):
            post.queue()
            post.settle(post.take()[0], verdict)
        found = post.log.page("shop", limit=10, state=DeliveryState.DELIVERED).deliveries
        assert len(found) == 2
        assert {record.state for record in found} == {DeliveryState.DELIVERED}

    def test_a_cursor_that_is_gone_says_so(self, post: Post) -> None:
        with pytest.raises(NotFound, match="cursor"):
            post.log.page("shop", limit=2, cursor="msg_" + "0" * 24)


class TestErasing:
    @pytest.mark.parametrize("when", ["waiting", "on its way", "settled", "to be tried again"])
    def test_an_erased_jobs_webhooks_leave_nothing(self, post: Post, when: str) -> None:
        job = post.queue(events=["job.succeeded", "job.needs_review"], outcome=DOUBTFUL)
        taken = [] if when == "waiting" else post.take()
        for delivery in taken:
            if when == "settled":
                post.settle(delivery, DELIVERED)
            elif when == "to be tried again":
                post.settle(delivery, Verdict(DeliveryState.PENDING, 60_000), 500)
        erased = post.jobs.erase(job.id, "shop")
        assert erased is not None
        post.jobs.swept(*erased.files)
        assert post.redis.keys(f"{PREFIX}*") == []
        assert not any(post.settle(delivery, DELIVERED) for delivery in taken)
        assert post.redis.keys(f"{PREFIX}*") == []

    def test_the_others_of_its_receiver_are_still_sent(self, post: Post) -> None:
        queued = {post.queue().id, post.queue().id}
        (taken,) = post.take(limit=1, per_receiver=1)
        post.jobs.erase(taken.job_id, "shop")
        kept = {delivery.job_id for delivery in post.take(per_receiver=1)}
        assert kept == queued - {taken.job_id}


def test_a_delivery_takes_less_than_a_kibibyte(post: Post) -> None:
    def used() -> int:
        return int(post.redis.info("memory")["used_memory_dataset"])

    def grown(count: int, *, hook: bool) -> float:
        before = used()
        for _ in range(count):
            webhook = Webhook(url="https://shop.example/hooks/nukki") if hook else None
            claim = post.claim(post.accept(webhook=webhook))
            post.leases.finish(claim, Status.SUCCEEDED, DONE)
        for delivery in post.take(limit=count, per_receiver=count):
            post.settle(delivery, DELIVERED)
        return (used() - before) / count

    assert grown(500, hook=True) - grown(500, hook=False) < 1024
