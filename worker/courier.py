"""The courier process: the janitor's rounds and the postman's, until SIGTERM."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable

from shared import logs, metrics
from shared.errors import ConfigError, Unavailable
from shared.guard import Guard
from shared.outbound import Outbound
from shared.queue.connection import Connection
from shared.queue.deliveries import DeliveryQueue
from shared.queue.doorbell import Doorbell, make_celery
from shared.queue.jobs import JobQueue
from shared.queue.upkeep import Upkeep
from shared.records import Records
from shared.settings import Settings
from shared.storage import open_storage
from shared.webhooks import SecretBook
from worker.carriers import Carriers
from worker.heartbeat import beat_interval
from worker.janitor import Janitor
from worker.postman import Postman

log = logging.getLogger("nukki.courier")

_LOOK_EVERY = 0.5
_CLEAR_EVERY = 5.0
_DELIVER_EVERY = 0.2


class Courier:
    """Two loops, each of which outlives any error."""

    def __init__(self, settings: Settings) -> None:
        connection = Connection(settings.redis_url)
        retention_ms, record_ms = settings.retention_ms, settings.record_ms
        jobs = JobQueue(connection, retention_ms=retention_ms, record_ms=record_ms)
        upkeep = Upkeep(
            connection,
            max_attempts=settings.max_attempts,
            retention_ms=retention_ms,
            record_ms=record_ms,
        )
        storage = open_storage(settings)
        self._janitor = Janitor(
            upkeep,
            jobs,
            storage,
            Doorbell(make_celery(settings)),
            patience=beat_interval(settings.lease) + 1,
        )
        deliveries = DeliveryQueue(connection, retention_ms=retention_ms)
        postman = Postman(
            deliveries,
            Records(jobs, storage),
            Outbound(Guard(settings.allow_networks)),
            SecretBook(settings.webhook_secrets),
            schedule=settings.webhook_schedule,
            timeout=settings.webhook_timeout,
        )
        self._carriers = Carriers(deliveries, postman, per_receiver=settings.webhook_per_receiver)
        self._stopping = threading.Event()
        self._cleared = 0.0

    def stop(self, *_: object) -> None:
        """Leave after the rounds under way; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Make the rounds until `stop`."""
        post = threading.Thread(
            target=self._every,
            args=[_DELIVER_EVERY, self._carriers.send, self._carriers.pause],
            name="post",
        )
        post.start()
        self._every(_LOOK_EVERY, self._tidy, self._stopping.wait)
        post.join()
        self._carriers.close()

    def _every(
        self, seconds: float, round_: Callable[[], None], pause: Callable[[float], object]
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

    def _tidy(self) -> None:
        self._janitor.look()
        if time.monotonic() - self._cleared > _CLEAR_EVERY:
            self._cleared = time.monotonic()
            self._janitor.clear()


def main() -> int:
    """Run the courier; returns the exit status."""
    try:
        settings = Settings.load()
        logs.configure(settings.log_level)
        metrics.serve_courier(settings)
        courier = Courier(settings)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 78
    signal.signal(signal.SIGTERM, courier.stop)
    signal.signal(signal.SIGINT, courier.stop)
    courier.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
