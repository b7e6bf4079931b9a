"""Who is served when: the urgent first, and yet nobody passed over for ever."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shared.errors import LeaseLost
from shared.schema import Prompt
from worker.engine import Ask, Call
from worker.engine.backlog import PATIENCE, Backlog, Step


def call(name: str, *, urgent: bool, departed: Callable[[], bool] = lambda: False) -> Call:
    return Call(np.zeros((1, 1, 3), np.uint8), name, [Ask(Prompt())], urgent, departed)


def names(batch: list[Call]) -> list[str]:
    return [item.digest for item in batch]


def under_steady_load(backlog: Backlog, step: Step, batches: int, limit: int = 1) -> list[str]:
    """Who leads each batch, while the urgent calls of that step always fill one more."""
    led = []
    for number in range(batches):
        waiting = [call(f"urgent {number}.{place}", urgent=True) for place in range(limit)]
        backlog.add(step, *waiting)
        _, batch = backlog.take(limit)
        led.append(names(batch)[0])
    return led


@pytest.mark.parametrize("steady", list(Step))
@pytest.mark.parametrize("waits", list(Step))
@pytest.mark.parametrize("limit", [1, 4])
def test_a_bulk_call_is_served_beside_steady_urgent_load(
    steady: Step, waits: Step, limit: int
) -> None:
    backlog = Backlog()
    backlog.add(waits, call("bulk", urgent=False))
    led = under_steady_load(backlog, steady, PATIENCE + 1, limit)
    assert "bulk" not in led[:PATIENCE]
    assert led[PATIENCE] == "bulk"


def test_an_urgent_photo_is_served_beside_steady_clicks_on_kept_ones() -> None:
    backlog = Backlog()
    backlog.add(Step.ENCODE, call("new", urgent=True))
    assert "new" in under_steady_load(backlog, Step.DECODE, PATIENCE + 1)


def test_the_batch_that_the_oldest_leads_is_filled_with_the_urgent() -> None:
    backlog = Backlog()
    backlog.add(Step.ENCODE, call("bulk", urgent=False), call("later bulk", urgent=False))
    under_steady_load(backlog, Step.ENCODE, PATIENCE, limit=2)
    backlog.add(Step.ENCODE, call("urgent", urgent=True))
    assert names(backlog.take(2)[1]) == ["bulk", "urgent"]


def test_who_waited_for_its_encoding_does_not_wait_so_again_for_its_answer() -> None:
    backlog = Backlog()
    bulk = call("bulk", urgent=False)
    backlog.add(Step.ENCODE, bulk)
    under_steady_load(backlog, Step.ENCODE, PATIENCE + 1)
    backlog.add(Step.DECODE, bulk, call("urgent", urgent=True))
    assert names(backlog.take(1)[1]) == ["bulk"]


def test_the_urgent_keep_their_share_of_the_device() -> None:
    backlog = Backlog()
    backlog.add(Step.ENCODE, *(call("bulk", urgent=False) for _ in range(100)))
    led = under_steady_load(backlog, Step.ENCODE, 10 * (PATIENCE + 1))
    assert led.count("bulk") == 10


def test_bulk_that_fills_the_urgent_batches_never_leads_one() -> None:
    """A caller at a time beside a catalog: on a device that takes many at once nobody ages."""
    backlog = Backlog()
    led = []
    backlog.add(Step.ENCODE, *(call("bulk", urgent=False) for _ in range(500)))
    for number in range(4 * PATIENCE):
        backlog.add(Step.ENCODE, call(f"urgent {number}", urgent=True))
        _, batch = backlog.take(8)
        assert len(batch) == 8
        led.append(names(batch)[0])
    assert "bulk" not in led


def test_who_has_departed_is_no_longer_the_oldest() -> None:
    backlog = Backlog()
    gone = call("gone", urgent=False, departed=lambda: True)
    backlog.add(Step.ENCODE, gone, call("bulk", urgent=False))
    led = under_steady_load(backlog, Step.ENCODE, PATIENCE + 1)
    assert "bulk" not in led  # the first to be passed over was another
    with pytest.raises(LeaseLost):
        gone.future.result(0)
    assert under_steady_load(backlog, Step.ENCODE, PATIENCE + 1)[PATIENCE] == "bulk"
