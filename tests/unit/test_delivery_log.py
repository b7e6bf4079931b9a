"""Webhooks that are suspended, replayed, listed and erased, on each version of Redis."""

from __future__ import annotations

import pytest

from shared.errors import NotFound
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.deliveries import DeliveryState, NextStep
from shared.queue.delivery_log import Try
from tests.unit.test_deliveries import DEAD, DELIVERED, DOUBTFUL, QUEUED, SUSPENDED, URL, Post


@pytest.fixture
def post(each_connection: Connection) -> Post:
    return Post(each_connection)


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
        assert post.names(*QUEUED) == []

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
        post.redis.zadd(
            redis_keys.SUSPENDED.key("shop"), {"http://y.example/": post.now() + 60_000}
        )
        assert post.take(limit=1) == []
        assert post.pending() == 0
        states = {post.log.of_job(job.id, "shop")[0].state for job in jobs}
        assert states == {DeliveryState.SUSPENDED}

    def test_it_is_forgotten_with_the_last_delivery_that_could_be_replayed(
        self, post: Post
    ) -> None:
        post.queue()
        post.settle(post.take()[0], SUSPENDED, 410)
        name = redis_keys.SUSPENDED.key("shop")
        assert 0 < post.redis.pttl(name) <= 60_000  # the tests' retention
        post.redis.zadd(name, {URL: post.now() - 1})
        post.queue()
        assert len(post.take()) == 1


class TestReplay:
    @pytest.mark.parametrize("step", [DELIVERED, DEAD, SUSPENDED])
    def test_what_is_settled_is_sent_again_by_the_whole_schedule(
        self, post: Post, step: NextStep
    ) -> None:
        post.queue()
        (first,) = post.take()
        post.settle(first, NextStep(DeliveryState.PENDING, 0), 500)
        (second,) = post.take()
        assert second.attempt == 2
        post.settle(second, step, 500)
        post.log.replay(first.id, "shop")
        (replayed,) = post.take()
        assert (replayed.id, replayed.attempt, replayed.token) == (first.id, 1, 3)

    def test_one_that_waits_is_sent_at_once(self, post: Post) -> None:
        post.queue()
        (first,) = post.take()
        post.settle(first, NextStep(DeliveryState.PENDING, 60_000), 500)
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

    @pytest.mark.parametrize("step", [DEAD, SUSPENDED])
    def test_another_tenants_is_not_there(self, post: Post, step: NextStep) -> None:
        post.queue()
        (first,) = post.take()
        post.settle(first, step, 500)
        for ask in (post.log.replay, post.log.get):
            with pytest.raises(NotFound):
                ask(first.id, "other")
        assert post.take() == []
        assert post.record(first).state is step.state


class TestLog:
    def test_each_try_is_kept(self, post: Post) -> None:
        post.queue()
        (first,) = post.take()
        post.deliveries.settle(
            first, NextStep(DeliveryState.PENDING, 0), took_ms=250, status=0, error="no answer: x y"
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
            post.settle(delivery, NextStep(DeliveryState.PENDING, 0), status)
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
        for step in (DELIVERED, DEAD, DELIVERED):
            post.queue()
            post.settle(post.take()[0], step)
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
                post.settle(delivery, NextStep(DeliveryState.PENDING, 60_000), 500)
        erased = post.jobs.erase(job.id, "shop")
        assert erased is not None
        post.jobs.swept(*erased.files)
        clock = {redis_keys.CLOCK.key()}
        assert set(post.redis.keys(redis_keys.EVERY_KEY)) <= clock
        assert not any(post.settle(delivery, DELIVERED) for delivery in taken)
        assert set(post.redis.keys(redis_keys.EVERY_KEY)) <= clock

    def test_the_others_of_its_receiver_are_still_sent(self, post: Post) -> None:
        queued = {post.queue().id, post.queue().id}
        (taken,) = post.take(limit=1, per_receiver=1)
        post.jobs.erase(taken.job_id, "shop")
        kept = {delivery.job_id for delivery in post.take(per_receiver=1)}
        assert kept == queued - {taken.job_id}
