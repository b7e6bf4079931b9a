"""The carriers: threads that carry webhooks, as many to one receiver as it may have in flight."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from shared.errors import QueueUnavailable, StorageUnavailable
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
        self._free = count
        self._back = threading.Event()

    def send(self) -> None:
        """Take no more than can be carried at once: a lease must not wait in our own queue."""
        if self._free:
            for delivery in self._deliveries.take(
                limit=self._free, per_receiver=self._per_receiver, lease_ms=self._postman.lease_ms
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
            self._free -= 1
        self._threads.submit(self._postman.deliver, delivery).add_done_callback(self._carried)

    def _carried(self, carried: Future[None]) -> None:
        with self._lock:
            self._free += 1
        self._back.set()
        error = None if carried.cancelled() else carried.exception()
        if isinstance(error, QueueUnavailable | StorageUnavailable):
            log.info("a delivery's record is late: %s", error)
        elif error is not None:
            log.error("a delivery failed", exc_info=error)
