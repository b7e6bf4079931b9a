"""Celery as the doorbell: a message says only that a job may be ready to claim.

A lost message costs two seconds (the janitor rings again), a duplicate costs a claim that finds
nothing. The settings are those measured in the project's notes on Celery over Redis.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import redis
from celery import Celery
from kombu import Queue
from kombu.exceptions import KombuError
from kombu.utils import uuid
from kombu.utils.scheduling import round_robin_cycle

from shared.job import Lane
from shared.queue import keys as redis_keys
from shared.queue.address import SentinelAddress, broker_url
from shared.settings import RedisSettings

log = logging.getLogger("nukki.doorbell")

TASK = "nukki.run_job"
QUEUES = {lane: redis_keys.DOORBELLS.key(lane.value) for lane in Lane}


def _always() -> bool:
    return True


class LaneCycle(round_robin_cycle):  # type: ignore[misc]
    """Reclaimed jobs first; the other lanes in turn, so that none starves another."""

    def __init__(self, bulk_is_open: Callable[[], bool] = _always) -> None:
        super().__init__()
        self._bulk_is_open = bulk_is_open

    def consume(self, n: int) -> list[str]:
        """The queues of the first `n` to look at, in order."""
        reclaimed, bulk = QUEUES[Lane.RECLAIMED], QUEUES[Lane.BULK]
        queues: list[str] = self.items[:n]
        if not self._bulk_is_open():
            queues = [queue for queue in queues if queue != bulk]
        return sorted(queues, key=lambda queue: queue != reclaimed)


def make_celery(settings: RedisSettings, cycle: Callable[[], LaneCycle] = LaneCycle) -> Celery:
    """The Celery app, configured alike for senders and workers.

    `cycle` makes the object that chooses which queue to take from next.
    """
    address = SentinelAddress.parse(settings.redis_url)
    app = Celery("nukki", broker=broker_url(settings.redis_url), set_as_current=False)
    app.conf.update(
        task_queues=[Queue(name) for name in QUEUES.values()],
        task_default_queue=QUEUES[Lane.INTERACTIVE],
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # Early ack: the record is what guarantees a job, and acks_late on Redis loses messages too.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        broker_pool_limit=64,  # more than an API process has threads: ringing never queues
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        broker_transport_options={
            "ack_emulation": False,
            "queue_order_strategy": cycle,
            # How long one look at the queues blocks: a lane that opens is seen at the next.
            "polling_interval": 0.1,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            # A worker's connection that died in silence is given up after one or two of these.
            "health_check_interval": 2,
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.1,
            "interval_max": 0.2,
        },
    )
    if address is not None:
        app.conf.broker_transport_options |= {
            "master_name": address.service,
            "sentinel_kwargs": address.sentinel_options,
        }
    return app


class Bell(Protocol):
    """The part of a doorbell that senders use."""

    def ring(self, job_id: str, lane: Lane) -> bool:
        """Tell the workers of `lane`; False if the broker is down."""


class Doorbell:
    """Rings for a job. Best effort by design: it never raises because the broker is down."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def ring(self, job_id: str, lane: Lane) -> bool:
        """Tell the workers of `lane`; False if the broker did not take it."""
        # Not `send_task`: what it looks up for each message is the same for all, and took as long
        # as sending it. The message is the same but for its `origin`.
        message = self._celery.amqp.create_task_message(
            uuid(), TASK, args=[job_id], ignore_result=True
        )
        try:
            with self._celery.producer_or_acquire() as producer:
                producer.publish(
                    message.body,
                    exchange="",
                    routing_key=QUEUES[lane],
                    serializer="json",
                    headers=message.headers,
                    retry=False,
                    **message.properties,
                )
        except (KombuError, redis.RedisError, OSError) as error:
            log.info("doorbell not rung, the janitor will: %s", error, extra={"job": job_id})
            return False
        return True
