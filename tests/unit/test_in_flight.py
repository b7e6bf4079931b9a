"""InFlightLimit, held by real threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.engine import InFlightLimit, Reservation, in_flight
from worker.engine.device_queue import MAX_PASSED_OVER


class Holders:
    """Threads that each hold a reservation until released; `entered` is the order of admission."""

    def __init__(self, limit: InFlightLimit) -> None:
        self.limit = limit
        self.entered: list[str] = []
        self._let_go: dict[str, threading.Event] = {}
        self.pool = ThreadPoolExecutor(32)

    def come(self, name: str, amount: int, *, tenant: str = "", urgent: bool = False) -> None:
        """Start a holder; return once it holds or waits."""
        self._let_go[name] = threading.Event()
        waiting = len(self.limit._waiting)
        entered = len(self.entered)

        def hold() -> None:
            with self.limit.holding(amount, tenant=tenant, urgent=urgent):
                self.entered.append(name)
                self._let_go[name].wait(5)

        self.pool.submit(hold)
        until(lambda: len(self.entered) > entered or len(self.limit._waiting) > waiting)

    def go(self, name: str, *, then: list[str]) -> None:
        """Release a holder, and wait until the last to be admitted are `then`."""
        self._let_go[name].set()
        until(lambda: self.entered[-len(then) :] == then if then else True)

    def await_last(self, *names: str) -> None:
        """Wait until the last to be admitted is one of these."""
        until(lambda: self.entered[-1] in names)

    def all_go(self) -> None:
        for event in self._let_go.values():
            event.set()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.001)


@pytest.fixture
def holders() -> Iterator[Holders]:
    made = Holders(InFlightLimit(100))
    yield made
    made.all_go()
    made.pool.shutdown()
    assert made.limit.held == 0


def test_reservations_that_fit_are_held_together(holders: Holders) -> None:
    holders.come("a", 60)
    holders.come("b", 40)
    assert holders.entered == ["a", "b"]
    assert holders.limit.held == 100


def test_a_reservation_that_does_not_fit_waits(holders: Holders) -> None:
    holders.come("a", 60)
    holders.come("b", 41)
    assert holders.entered == ["a"]
    holders.go("a", then=["a", "b"])


def test_urgent_holders_go_first_then_in_order_of_arrival(holders: Holders) -> None:
    holders.come("a", 100)
    for name in ("b", "c"):
        holders.come(name, 100)
    for name in ("d", "e"):
        holders.come(name, 100, urgent=True)
    for name, following in zip("adeb", "debc", strict=True):
        holders.go(name, then=[following])
    assert holders.entered == list("adebc")


@pytest.mark.parametrize("amount", [50, 100])
def test_a_steady_stream_of_urgent_holders_starves_nobody(holders: Holders, amount: int) -> None:
    holders.come("urgent 0", amount, urgent=True)
    holders.come("bulk", 100)
    for number in range(1, MAX_PASSED_OVER + 3):
        name = f"urgent {number}"
        holders.come(name, amount, urgent=True)
        holders.go(f"urgent {number - 1}", then=[])
        holders.await_last(name, "bulk")
        if holders.entered[-1] == "bulk":
            break
        until(lambda: holders.limit.held == amount)
    assert holders.entered == [
        *(f"urgent {number}" for number in range(MAX_PASSED_OVER + 1)),
        "bulk",
    ]


def test_a_large_holder_is_not_overtaken_by_small_ones(holders: Holders) -> None:
    holders.come("a", 50)
    holders.come("large", 80)
    holders.come("small", 10)
    assert holders.entered == ["a"]
    holders.go("a", then=[])
    until(lambda: sorted(holders.entered) == ["a", "large", "small"])


def test_several_are_admitted_when_a_large_holder_finishes(holders: Holders) -> None:
    holders.come("large", 100)
    for name in "abc":
        holders.come(name, 30)
    holders.go("large", then=[])
    until(lambda: sorted(holders.entered[1:]) == ["a", "b", "c"])


def test_a_request_over_the_limit_gets_all_of_it_and_runs_alone(holders: Holders) -> None:
    holders.come("a", 10)
    holders.come("huge", 1000)
    assert holders.entered == ["a"]
    holders.go("a", then=["huge"])
    holders.come("b", 1)
    assert holders.entered == ["a", "huge"]


def test_after_running_short_of_memory_half_as_much_is_admitted(holders: Holders) -> None:
    holders.limit.ran_short()
    holders.come("a", 40)
    holders.come("b", 40)
    assert holders.entered == ["a"]
    holders.go("a", then=["a", "b"])


def test_one_shortage_halves_the_limit_once(holders: Holders) -> None:
    for _ in range(8):  # all that was in hand felt it
        holders.limit.ran_short()
    assert holders.limit.limit == 50


def test_the_limit_never_shrinks_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "_SAME_SHORTAGE", 0.0)
    limit = InFlightLimit(1000)
    for _ in range(100):
        limit.ran_short()
    assert limit.limit == 1000 // 16


def test_what_is_larger_than_the_shrunken_limit_runs_alone(holders: Holders) -> None:
    holders.limit.ran_short()
    holders.come("a", 1)
    holders.come("large", 90)
    assert holders.entered == ["a"]
    holders.go("a", then=["a", "large"])
    holders.come("b", 1)
    assert holders.entered == ["a", "large"]


def test_the_limit_grows_back(holders: Holders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "_GROW_EVERY", 0.05)
    holders.limit.ran_short()
    grown = []
    deadline = time.monotonic() + 5
    while holders.limit.limit < 100 and time.monotonic() < deadline:
        with holders.limit.holding(1):
            grown.append(holders.limit.limit)
        time.sleep(0.005)
    assert grown == sorted(grown)
    assert grown[0] < 100 == holders.limit.limit


def test_an_error_releases_the_reservation() -> None:
    limit = InFlightLimit(10)
    with pytest.raises(ValueError, match="inside"), limit.holding(10):
        raise ValueError("inside")
    assert limit.held == 0


def test_many_holders_never_exceed_the_limit(holders: Holders) -> None:
    limit, peak = InFlightLimit(7), [0]
    lock = threading.Lock()
    held = [0]

    def hold(number: int) -> None:
        amount = number % 4 + 1
        with limit.holding(amount, urgent=number % 3 == 0):
            with lock:
                held[0] += amount
                peak[0] = max(peak[0], held[0])
            time.sleep(0.0005)
            with lock:
                held[0] -= amount

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(hold, range(300)))
    assert 4 <= peak[0] <= 7
    assert limit.held == 0


def test_tenants_take_turns(holders: Holders) -> None:
    holders.come("a0", 100, tenant="alpha")
    for number in range(1, 4):
        holders.come(f"a{number}", 100, tenant="alpha")
    holders.come("b1", 1, tenant="beta")
    holders.go("a0", then=["b1"])
    holders.go("b1", then=["a1"])
    assert holders.entered == ["a0", "b1", "a1"]


def test_turns_are_as_long_as_what_they_reserve(holders: Holders) -> None:
    holders.come("first", 100, tenant="gamma")
    for number in range(2):
        holders.come(f"large{number}", 100, tenant="alpha")
    for number in range(5):
        holders.come(f"small{number}", 25, tenant="beta")
    holders.go("first", then=["large0"])
    holders.go("large0", then=[])
    until(lambda: len(holders.entered) == 6)
    assert sorted(holders.entered[2:]) == ["small0", "small1", "small2", "small3"]


def test_beside_others_a_tenant_gets_no_more_than_its_share() -> None:
    limit = InFlightLimit(100, share=0.75)
    with limit.holding(60, tenant="alpha"), limit.holding(40, tenant="alpha"):
        pass  # alone it may have all
    with limit.holding(1, tenant="beta"):
        pass
    later: list[Reservation] = []
    with limit.holding(60, tenant="alpha"):
        assert limit.ask(40, later.append, tenant="alpha") is None
        assert limit.ask(1, later.append, tenant="alpha") is None  # in its order
        assert not later
        with limit.holding(40, tenant="beta"):
            pass
    assert [reservation.amount for reservation in later] == [40, 1]
    for reservation in later:
        reservation.release()
    with limit.holding(100, tenant="alpha"):  # whatever its size, one is allowed
        pass
    assert limit.held == 0


def test_a_tenant_that_has_gone_leaves_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = InFlightLimit(100, share=0.75)
    with limit.holding(1, tenant="beta"):
        pass
    monkeypatch.setattr(in_flight, "_PRESENT", 0.0)
    with limit.holding(60, tenant="alpha"), limit.holding(40, tenant="alpha"):
        pass
