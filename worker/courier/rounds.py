"""The courier process: runs janitor, sweeper and webhook sender until SIGTERM."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from shared.errors import Unavailable
from shared.guard import Guard
from shared.outbound import Outbound
from shared.queue.connection import Connection
from shared.queue.deliveries import DeliveryQueue
from shared.queue.doorbell import Doorbell, make_celery
from shared.queue.forgotten import Forgotten
from shared.queue.jobs import JobQueue
from shared.queue.upkeep import Upkeep
from shared.records import Records
from shared.settings import CourierSettings
from shared.storage import open_storage
from shared.webhooks import SecretBook
from worker.courier.janitor import Janitor
from worker.courier.reconcile import Reconcile
from worker.courier.sender_threads import SenderThreads
from worker.courier.sweeper import Sweeper
from worker.courier.tombstones import Tombstones
from worker.courier.webhook_sender import WebhookSender
from worker.heartbeat import beat_interval

log = logging.getLogger("nukki.courier")

_LOOK_EVERY = 0.5
_SWEEP_EVERY = 5.0
_DELIVER_EVERY = 0.2


class Courier:
    """Three independent loops, each of which survives any error."""

    def __init__(self, settings: CourierSettings) -> None:
        connection = Connection(settings.redis_url)
        retention_ms, record_ms = settings.retention_ms, settings.record_ms
        jobs = JobQueue(connection, retention_ms=retention_ms, record_ms=record_ms)
        upkeep = Upkeep(
            connection,
            max_attempts=settings.max_attempts,
            retention_ms=retention_ms,
            record_ms=record_ms,
            lease_ms=int(settings.lease * 1000),
        )
        storage = open_storage(settings)
        self._janitor = Janitor(
            upkeep,
            jobs,
            Doorbell(make_celery(settings)),
            patience=beat_interval(settings.lease) + 1,
        )
        self._sweeper = Sweeper(upkeep, jobs, storage)
        forgotten = Forgotten(connection, retention_ms=retention_ms)
        records = Records(jobs, storage)
        self._tombstones = Tombstones(forgotten, records, storage)
        self._reconcile = Reconcile(forgotten, records, storage, retention_ms=retention_ms)
        deliveries = DeliveryQueue(connection, retention_ms=retention_ms)
        sender = WebhookSender(
            deliveries,
            records,
            Outbound(Guard(settings.allow_networks)),
            SecretBook(settings.webhook_secrets),
            schedule=settings.webhook_schedule,
            timeout=settings.webhook_timeout,
        )
        self._senders = SenderThreads(
            deliveries, sender, per_receiver=settings.webhook_per_receiver
        )
        self._stopping = threading.Event()

    def stop(self, *_: object) -> None:
        """Stop after the rounds that are running; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Run the loops until `stop`."""
        wait = self._stopping.wait
        loops = {
            "post": (_DELIVER_EVERY, self._senders.send, self._senders.pause),
            "sweep": (_SWEEP_EVERY, self._sweep, wait),
        }
        threads = [
            threading.Thread(target=self._every, args=loop, name=name)
            for name, loop in loops.items()
        ]
        for thread in threads:
            thread.start()
        self._every(_LOOK_EVERY, self._look, wait)
        for thread in threads:
            thread.join()
        self._senders.close()

    def _every(
        self, seconds: float, round_: Callable[[], object], pause: Callable[[float], object]
    ) -> None:
        away = False
        while not self._stopping.is_set():
            try:
                round_()
                away = False
            except Unavailable as error:
                if not away:
                    log.warning("%s", error)
                away = True
            except Exception:
                log.exception("a round failed")
            pause(seconds)

    def _look(self) -> None:
        """Handle batches until none is left: one per half second would never catch up."""
        while self._janitor.look() and not self._stopping.is_set():
            pass

    def _sweep(self) -> None:
        """Handle batches until none is left, then look at some files for what was forgotten."""
        self._tombstones.apply()
        while self._sweeper.clear() and not self._stopping.is_set():
            pass
        self._reconcile.step()
