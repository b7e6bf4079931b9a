"""First come, first served at the device, but for a bounded head start of cheap work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shared.schema import Prompt
from worker.engine import Ask, Call
from worker.engine.device_queue import DeviceQueue, Step
from worker.engine.turns import Turns


class Device:
    """A device whose batches take as long as told, and its queue."""

    def __init__(self, *, encode: float, decode: float) -> None:
        self.now = 0.0
        self.seconds = {Step.ENCODE: encode, Step.DECODE: decode}
        self.queue = DeviceQueue(lambda: self.now)
        for step in Step:  # it knows how long each step takes
            self.add(step, "first")
            self.serve()

    def add(self, step: Step, *names: str, tenant: str = "shop", urgent: bool = True) -> None:
        photo = np.zeros((1, 1, 3), np.uint8)
        for name in names:
            self.queue.add(step, Call(photo, name, [Ask(Prompt())], urgent, lambda: False, tenant))

    def serve(self, limit: int = 1) -> list[str]:
        """Serve one batch; the names of its calls."""
        step, batch = self.queue.take(limit)
        self.now += self.seconds[step]
        return [call.digest for call in batch]

    def served_until(self, name: str, meanwhile: Callable[[], None] = lambda: None) -> float:
        """Seconds until the call `name` begins; `meanwhile` happens before each batch."""
        since = self.now
        for _ in range(1000):
            meanwhile()
            began = self.now
            if name in self.serve():
                return began - since
        raise AssertionError(f"{name} starves")


@pytest.mark.parametrize("burst", [1, 80, 500])
def test_a_new_photo_waits_one_encoding_for_clicks_that_came_later(burst: int) -> None:
    device = Device(encode=1.0, decode=0.1)
    device.add(Step.ENCODE, "new")
    device.add(Step.DECODE, *(f"click {number}" for number in range(burst)))
    assert device.served_until("new") <= 1.0 + 1e-9


def test_steady_clicks_do_not_hold_it_up_any_longer() -> None:
    device = Device(encode=1.0, decode=0.1)
    device.add(Step.ENCODE, *(f"new {number}" for number in range(5)))
    waited = device.served_until("new 4", lambda: device.add(Step.DECODE, "click", "click"))
    assert waited <= 4 * 1.0 + 1.0 + 1e-9  # its own turn, and one encoding


def test_clicks_that_came_first_go_first_however_many() -> None:
    device = Device(encode=1.0, decode=0.1)
    device.add(Step.DECODE, *(f"click {number}" for number in range(80)))
    device.add(Step.ENCODE, "new")
    device.add(Step.DECODE, *(f"later {number}" for number in range(80)))
    assert 8.0 - 1e-9 <= device.served_until("new") <= 8.0 + 1.0 + 1e-9


@pytest.mark.parametrize("photos", [1, 100])
def test_a_click_passes_a_queue_of_new_photos(photos: int) -> None:
    device = Device(encode=1.0, decode=0.1)
    device.add(Step.ENCODE, *(f"new {number}" for number in range(photos)))
    device.add(Step.DECODE, "click")
    assert device.serve() == ["click"]


def test_clicks_wait_for_photos_in_front_only_after_using_up_the_head_start() -> None:
    device = Device(encode=1.0, decode=0.125)
    device.add(Step.ENCODE, *(f"new {number}" for number in range(20)))
    for number in range(8):  # one encoding
        device.add(Step.DECODE, f"click {number}")
        assert device.serve() == [f"click {number}"]
        assert device.serve() == [f"new {number}"]
    device.add(Step.DECODE, "click")
    assert device.served_until("click") == 12.0  # as it came: twelve photos are left in front
    device.add(Step.ENCODE, "later")
    device.add(Step.DECODE, "next click")
    assert device.serve() == ["next click"]


def test_where_decoding_is_the_dearer_step_order_is_that_of_arrival() -> None:
    device = Device(encode=0.01, decode=0.8)  # as GrabCut
    device.add(Step.DECODE, "a")
    device.add(Step.ENCODE, "new")
    device.add(Step.DECODE, "b", "c")
    assert [device.serve() for _ in range(4)] == [["a"], ["new"], ["b"], ["c"]]


def test_a_photo_just_encoded_is_decoded_in_its_own_place() -> None:
    device = Device(encode=1.0, decode=0.1)
    device.add(Step.ENCODE, "new 1", "new 2")
    step, (first,) = device.queue.take(1)
    device.queue.add(Step.DECODE, first)
    assert (step, device.serve(), device.serve()) == (Step.ENCODE, ["new 1"], ["new 2"])


def test_bulk_clicks_have_no_head_start_over_an_urgent_photo() -> None:
    device = Device(encode=1.0, decode=0.1)
    device.add(Step.DECODE, "bulk", urgent=False)
    device.add(Step.ENCODE, "new")
    assert device.serve() == ["new"]


@pytest.mark.parametrize("step", list(Step))
def test_tenants_take_turns(step: Step) -> None:
    device = Device(encode=1.0, decode=0.1)
    device.add(step, *(f"alpha {number}" for number in range(50)), tenant="alpha")
    device.add(step, "beta 0", "beta 1", tenant="beta")
    served = [name for _ in range(5) for name in device.serve()]
    assert served.index("beta 0") <= 1
    assert served.index("beta 1") <= 3


def test_a_tenants_catalog_does_not_delay_its_clicks() -> None:
    turns = Turns()
    for _ in range(100):
        turns.take("alpha", urgent=False)
    click, other = turns.take("alpha", urgent=True), turns.take("beta", urgent=True)
    assert click < other


def test_who_comes_late_gets_no_turns_for_the_time_before() -> None:
    turns = Turns()
    for _ in range(100):
        turns.serve(turns.take("alpha", urgent=True))
    late = [turns.take("beta", urgent=True) for _ in range(3)]
    waiting = [turns.take("alpha", urgent=True) for _ in range(3)]
    assert sorted([*late, *waiting]).index(waiting[0]) <= 2
    assert sorted([*late, *waiting]).index(late[1]) <= 2


def test_tenants_that_have_gone_are_forgotten() -> None:
    turns = Turns()
    for number in range(5_000):
        turns.serve(turns.take(f"tenant {number}", urgent=True))
    assert len(turns._ends) <= 1_001
