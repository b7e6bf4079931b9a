"""The carriers: threads that carry webhooks; no receiver, and no tenant, may have them all."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from shared.errors import Unavailable
from shared.queue.deliveries import Delivery, DeliveryQueue
from worker.postman import Postman

log = logging.getLogger("nukki.courier")

#: Webhooks in flight at once. Each may wait for its receiver until the timeout.
CARRIERS = 64


class Carriers:
    """A pool of threads over the queue of deliveries."""

    def __init__(
        self,
        deliveries: DeliveryQueue,
        postman: Postman,
        *,
        per_receiver: int,
        count: int = CARRIERS,
    ) -> None:
        self._deliveries = deliveries
        self._postman = postman
        self._per_receiver = per_receiver
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="carrier")
        self._lock = threading.Lock()
        self._count = count
        self._in_flight: Counter[str] = Counter()  # by share
        self._back = threading.Event()

    def send(self) -> None:
        """Take no more than can be carried at once: a lease must not wait in our own queue."""
        with self._lock:
            in_flight = dict(self._in_flight)
        free = self._count - sum(in_flight.values())
        if free:
            for delivery in self._deliveries.take(
                limit=free,
                per_receiver=self._per_receiver,
                lease_ms=self._postman.lease_ms,
                in_flight=in_flight,
            ):
                self._carry(delivery)

    def pause(self, seconds: float) -> None:
        """Wait so long, or until a carrier is back: its receiver may have more to be taken."""
        self._back.wait(seconds)
        self._back.clear()

    def close(self) -> None:
        """Wait for those that are on their way."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _carry(self, delivery: Delivery) -> None:
        with self._lock:
            self._in_flight[delivery.share] += 1
        carried = self._threads.submit(self._postman.deliver, delivery)
        carried.add_done_callback(partial(self._carried, delivery.share))

    def _carried(self, share: str, carried: Future[None]) -> None:
        with self._lock:
            self._in_flight[share] -= 1
            if not self._in_flight[share]:
                del self._in_flight[share]
        self._back.set()
        error = None if carried.cancelled() else carried.exception()
        if isinstance(error, Unavailable):
            log.info("a delivery's record is late: %s", error)
        elif error is not None:
            log.error("a delivery failed", exc_info=error)
