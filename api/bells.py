"""Tells callers that wait for jobs that one has finished; one Redis subscription per process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import redis

from shared.job import TERMINAL
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection

log = logging.getLogger("nukki.api")

#: Seconds after which the jobs waited for are looked at, in case a message was lost.
_LOOK_EVERY = 2.0
#: Jobs looked at in one round trip.
_LOOKED_AT = 500
_RECONNECT = 0.5


class Bells:
    """An event per waiting caller, set when its job finishes or is erased."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._bells: dict[str, set[threading.Event]] = {}
        self._closed = threading.Event()
        self._listener: threading.Thread | None = None

    @contextmanager
    def hung(self, job_id: str, bell: threading.Event) -> Iterator[None]:
        """Set `bell` when the job finishes, while the block runs."""
        with self._lock:
            self._bells.setdefault(job_id, set()).add(bell)
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, daemon=True)
                self._listener.start()
        try:
            yield
        finally:
            with self._lock:
                self._bells[job_id].discard(bell)
                if not self._bells[job_id]:
                    del self._bells[job_id]

    def close(self) -> None:
        """Set every bell and stop listening."""
        self._closed.set()
        self._ring(*self._waited_for())

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen_on()
            except (redis.RedisError, OSError) as error:
                if self._closed.is_set():
                    return
                log.info("not listening for finished jobs: %s", error)
                self._ring(*self._waited_for())  # each caller is then told of the outage
                self._closed.wait(_RECONNECT)

    def _listen_on(self) -> None:
        """Listen until closed, or until the connection breaks."""
        with self._connection.redis.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(redis_keys.FINISHED.key())
            looked = 0.0
            while not self._closed.is_set():
                message = channel.get_message(timeout=_LOOK_EVERY / 2)
                if message is not None:
                    self._ring(message["data"])
                if time.monotonic() >= looked + _LOOK_EVERY:
                    self._look()
                    looked = time.monotonic()

    def _look(self) -> None:
        """Ring for the jobs that have ended although no message came."""
        waited_for = iter(self._waited_for())
        while some := list(islice(waited_for, _LOOKED_AT)):
            pipeline = self._connection.redis.pipeline(transaction=False)
            for job_id in some:
                pipeline.hget(redis_keys.JOB.key(job_id), "status")
            for job_id, status in zip(some, pipeline.execute(), strict=True):
                if status is None or status in TERMINAL:
                    self._ring(job_id)

    def _waited_for(self) -> list[str]:
        with self._lock:
            return list(self._bells)

    def _ring(self, *job_ids: str) -> None:
        with self._lock:
            for job_id in job_ids:
                for bell in self._bells.get(job_id, ()):
                    bell.set()
