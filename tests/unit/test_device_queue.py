"""The order in which calls reach the device: urgent first, but nothing starves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shared.errors import LeaseLost
from shared.schema import Prompt
from worker.engine import Ask, Call
from worker.engine.device_queue import MAX_PASSED_OVER, DeviceQueue, Step


def call(name: str, *, urgent: bool, departed: Callable[[], bool] = lambda: False) -> Call:
    return Call(np.zeros((1, 1, 3), np.uint8), name, [Ask(Prompt())], urgent, departed)


def names(batch: list[Call]) -> list[str]:
    return [item.digest for item in batch]


def under_steady_load(queue: DeviceQueue, step: Step, batches: int, limit: int = 1) -> list[str]:
    """The first call of each batch, while urgent calls of `step` always fill one more batch."""
    led = []
    for number in range(batches):
        waiting = [call(f"urgent {number}.{place}", urgent=True) for place in range(limit)]
        queue.add(step, *waiting)
        _, batch = queue.take(limit)
        led.append(names(batch)[0])
    return led


@pytest.mark.parametrize("steady", list(Step))
@pytest.mark.parametrize("waits", list(Step))
@pytest.mark.parametrize("limit", [1, 4])
def test_a_bulk_call_is_served_beside_steady_urgent_load(
    steady: Step, waits: Step, limit: int
) -> None:
    queue = DeviceQueue()
    queue.add(waits, call("bulk", urgent=False))
    led = under_steady_load(queue, steady, MAX_PASSED_OVER + 1, limit)
    assert "bulk" not in led[:MAX_PASSED_OVER]
    assert led[MAX_PASSED_OVER] == "bulk"


def test_an_urgent_photo_is_served_beside_steady_clicks_on_cached_ones() -> None:
    queue = DeviceQueue()
    queue.add(Step.ENCODE, call("new", urgent=True))
    assert "new" in under_steady_load(queue, Step.DECODE, MAX_PASSED_OVER + 1)


def test_a_batch_led_by_the_oldest_call_is_filled_with_urgent_ones() -> None:
    queue = DeviceQueue()
    queue.add(Step.ENCODE, call("bulk", urgent=False), call("later bulk", urgent=False))
    under_steady_load(queue, Step.ENCODE, MAX_PASSED_OVER, limit=2)
    queue.add(Step.ENCODE, call("urgent", urgent=True))
    assert names(queue.take(2)[1]) == ["bulk", "urgent"]


def test_a_call_promoted_for_encoding_stays_urgent_for_decoding() -> None:
    queue = DeviceQueue()
    bulk = call("bulk", urgent=False)
    queue.add(Step.ENCODE, bulk)
    under_steady_load(queue, Step.ENCODE, MAX_PASSED_OVER + 1)
    queue.add(Step.DECODE, bulk, call("urgent", urgent=True))
    assert names(queue.take(1)[1]) == ["bulk"]


def test_urgent_calls_keep_their_share_of_the_device() -> None:
    queue = DeviceQueue()
    queue.add(Step.ENCODE, *(call("bulk", urgent=False) for _ in range(100)))
    led = under_steady_load(queue, Step.ENCODE, 10 * (MAX_PASSED_OVER + 1))
    assert led.count("bulk") == 10


def test_bulk_that_fills_the_urgent_batches_never_leads_one() -> None:
    """One urgent caller at a time beside a catalog: with large batches no call is passed over."""
    queue = DeviceQueue()
    led = []
    queue.add(Step.ENCODE, *(call("bulk", urgent=False) for _ in range(500)))
    for number in range(4 * MAX_PASSED_OVER):
        queue.add(Step.ENCODE, call(f"urgent {number}", urgent=True))
        _, batch = queue.take(8)
        assert len(batch) == 8
        led.append(names(batch)[0])
    assert "bulk" not in led


def test_a_departed_call_is_no_longer_the_oldest() -> None:
    queue = DeviceQueue()
    gone = call("gone", urgent=False, departed=lambda: True)
    queue.add(Step.ENCODE, gone, call("bulk", urgent=False))
    led = under_steady_load(queue, Step.ENCODE, MAX_PASSED_OVER + 1)
    assert "bulk" not in led  # what was passed over so far was the departed call
    with pytest.raises(LeaseLost):
        gone.future.result(0)
    assert under_steady_load(queue, Step.ENCODE, MAX_PASSED_OVER + 1)[MAX_PASSED_OVER] == "bulk"
