"""Who may have how many carriers: tenants, and their receivers that do not answer."""

from __future__ import annotations

from collections import Counter

import pytest

from shared.queue.connection import Connection
from shared.queue.deliveries import Delivery, DeliveryState, NextStep
from tests.unit.test_deliveries import DEAD, DELIVERED, QUEUED, URL, Post

AGAIN = NextStep(DeliveryState.PENDING, 0)
PUT_OFF = NextStep(DeliveryState.PENDING, 0, spends=False)
CARRIERS = 64


@pytest.fixture
def post(each_connection: Connection) -> Post:
    return Post(each_connection)


def ports(count: int) -> list[str]:
    return [f"http://hangs.example:{20_000 + number}/" for number in range(count)]


def silence(post: Post, urls: list[str], tenant: str = "shop") -> None:
    """Let these receivers have left a try unanswered that is made again now."""
    for url in urls:
        post.queue(url, tenant=tenant)
    left = {*urls}
    while left:
        for delivery in post.take():
            post.settle(delivery, AGAIN, 0)
            left.discard(delivery.url)


def of_shares(taken: list[Delivery]) -> Counter[str]:
    return Counter(delivery.share for delivery in taken)


class TestTenants:
    def test_however_many_receivers_one_names_it_has_half_of_the_carriers(self, post: Post) -> None:
        for url in ports(100):
            post.queue(url, tenant="other")
        hanging = post.take(CARRIERS, per_receiver=4)
        assert of_shares(hanging) == {"other": 32}
        post.queue()
        taken = post.take(32, per_receiver=4, in_flight=of_shares(hanging))
        assert [delivery.tenant for delivery in taken] == ["shop"]

    @pytest.mark.parametrize(("tenants", "each"), [(2, 21), (3, 16), (7, 8)])
    def test_several_of_them_leave_a_part_to_the_next(
        self, post: Post, tenants: int, each: int
    ) -> None:
        for number in range(tenants):
            for url in ports(40):
                post.queue(url, tenant=f"tenant-{number}")
        taken = post.take(CARRIERS)
        counts = of_shares(taken).values()
        assert len(counts) == tenants
        assert each <= min(counts)
        assert max(counts) <= each + 1
        assert len(taken) < CARRIERS

    def test_what_is_in_flight_already_counts(self, post: Post) -> None:
        for url in ports(40):
            post.queue(url)
        assert post.take(31, in_flight={"shop": 33}) == []
        assert len(post.take(33, in_flight={"shop": 31})) == 1
        assert len(post.take(34, in_flight={"other": 30})) == 17

    def test_they_take_turns(self, post: Post) -> None:
        for url in ports(20):
            post.queue(url, tenant="other")
        post.queue(tenant="shop")
        post.queue(tenant="third")
        taken = [post.take(1)[0].tenant for _ in range(6)]
        assert set(taken[:3]) == {"other", "shop", "third"}
        assert taken[3:] == ["other"] * 3

    def test_a_host_that_two_use_is_a_receiver_of_each(self, post: Post) -> None:
        for tenant in ("shop", "other"):
            for _ in range(3):
                post.queue(URL, tenant=tenant)
        taken = post.take(per_receiver=2)
        assert Counter(delivery.tenant for delivery in taken) == {"shop": 2, "other": 2}
        for delivery in taken:
            post.settle(delivery, AGAIN, 0 if delivery.tenant == "other" else 500)
        shares = {delivery.tenant: delivery.share for delivery in post.take(per_receiver=2)}
        assert shares == {"shop": "shop", "other": "other/silent"}

    def test_one_that_is_half_full_is_shared_by_receivers_with_none_in_flight(
        self, post: Post
    ) -> None:
        """New ones that hang are no different from the others until the first try has ended."""
        urls = ports(10)
        for url in urls * 4:
            post.queue(url)
        taken = post.take(CARRIERS, per_receiver=4)
        assert len(taken) == 22
        assert {delivery.url for delivery in taken} == set(urls)
        assert post.take(42, per_receiver=4, in_flight=of_shares(taken)) == []
        for _ in range(4):
            post.queue()
        (alive,) = post.take(42, per_receiver=4, in_flight=of_shares(taken))
        assert alive.url == URL
        post.settle(alive, DELIVERED)
        assert len(post.take(42, per_receiver=4, in_flight=of_shares(taken))) == 1
        post.pass_time(1)
        assert len(post.take(42, per_receiver=4)) == 14  # a courier that has none of them


class TestSilence:
    def test_a_tenants_silent_receivers_leave_it_carriers_for_the_others(self, post: Post) -> None:
        silence(post, ports(100))
        hanging = post.take(CARRIERS)
        assert of_shares(hanging) == {"shop/silent": 32}
        for number in range(10):
            post.queue(f"http://alive.example:{1000 + number}/")
        taken = post.take(32, in_flight=of_shares(hanging))
        assert of_shares(taken) == {"shop": 10}

    def test_an_answer_ends_it_whatever_it_was(self, post: Post) -> None:
        silence(post, [URL])
        (delivery,) = post.take()
        assert delivery.share == "shop/silent"
        post.settle(delivery, AGAIN, 500)
        (delivery,) = post.take()
        assert delivery.share == "shop"

    @pytest.mark.parametrize("was_silent", [False, True])
    def test_our_own_outage_says_nothing_of_it(self, post: Post, was_silent: bool) -> None:
        if was_silent:
            silence(post, [URL])
        else:
            post.queue()
        for _ in range(2):
            (delivery,) = post.take()
            assert delivery.share == ("shop/silent" if was_silent else "shop")
            post.settle(delivery, PUT_OFF, 0)

    def test_it_moves_all_that_waits_for_the_receiver(self, post: Post) -> None:
        for _ in range(5):
            post.queue()
        first, second = post.take(per_receiver=2)
        post.settle(first, DEAD, 0)
        assert of_shares(post.take(per_receiver=2)) == {"shop/silent": 1}
        post.settle(second, DELIVERED)
        assert of_shares(post.take(per_receiver=2)) == {"shop": 1}

    @pytest.mark.parametrize("step", [DELIVERED, DEAD])
    def test_nothing_of_it_is_left_when_all_is_settled(self, post: Post, step: NextStep) -> None:
        silence(post, ports(3))
        for delivery in post.take():
            post.settle(delivery, step, 200 if step is DELIVERED else 0)
        assert post.names(*QUEUED) == []

    def test_an_erased_job_leaves_nothing_of_it(self, post: Post) -> None:
        silence(post, [URL])
        (delivery,) = post.take()
        post.jobs.erase(delivery.job_id, "shop")
        assert post.names(*QUEUED) == []


def test_thousands_of_receivers_that_hang_do_not_slow_a_take(post: Post) -> None:
    """The take looks at no receiver of a share that may have no more."""
    for url in ports(300):
        post.queue(url, tenant="other")
    hanging = post.take(CARRIERS)
    post.queue()
    before = sum(item["calls"] for item in post.redis.info("commandstats").values())
    (delivery,) = post.take(32, in_flight=of_shares(hanging))
    assert delivery.tenant == "shop"
    assert sum(item["calls"] for item in post.redis.info("commandstats").values()) - before < 40
