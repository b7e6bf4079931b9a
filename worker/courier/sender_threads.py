"""Sender threads for webhooks; no receiver and no tenant can hold all of them."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from shared.errors import Unavailable
from shared.queue.deliveries import Delivery, DeliveryQueue
from worker.courier.webhook_sender import WebhookSender

log = logging.getLogger("nukki.courier")

#: Webhooks in flight at once; each may wait for its receiver until the timeout.
SENDER_THREADS = 64


class SenderThreads:
    """A pool of threads that send the deliveries in the queue."""

    def __init__(
        self,
        deliveries: DeliveryQueue,
        sender: WebhookSender,
        *,
        per_receiver: int,
        count: int = SENDER_THREADS,
    ) -> None:
        self._deliveries = deliveries
        self._sender = sender
        self._per_receiver = per_receiver
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="webhook")
        self._lock = threading.Lock()
        self._count = count
        self._in_flight: Counter[str] = Counter()  # by share
        self._back = threading.Event()

    def send(self) -> None:
        """Send as many deliveries as threads are free: none waits here while its lease runs."""
        with self._lock:
            in_flight = dict(self._in_flight)
        free = self._count - sum(in_flight.values())
        if free:
            for delivery in self._deliveries.take(
                limit=free,
                per_receiver=self._per_receiver,
                lease_ms=self._sender.lease_ms,
                in_flight=in_flight,
            ):
                self._send(delivery)

    def pause(self, seconds: float) -> None:
        """Wait this long, or until a thread is free: its receiver may have more deliveries due."""
        self._back.wait(seconds)
        self._back.clear()

    def close(self) -> None:
        """Wait for the tries that are running."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _send(self, delivery: Delivery) -> None:
        with self._lock:
            self._in_flight[delivery.share] += 1
        sent = self._threads.submit(self._sender.deliver, delivery)
        sent.add_done_callback(partial(self._sent, delivery.share))

    def _sent(self, share: str, sent: Future[None]) -> None:
        with self._lock:
            self._in_flight[share] -= 1
            if not self._in_flight[share]:
                del self._in_flight[share]
        self._back.set()
        error = None if sent.cancelled() else sent.exception()
        if isinstance(error, Unavailable):
            log.info("a try could not be recorded: %s", error)
        elif error is not None:
            log.error("a delivery failed", exc_info=error)
