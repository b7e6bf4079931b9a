"""Callers waiting for a job; one Redis subscription per process wakes them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from shared.job import Job
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue

log = logging.getLogger("nukki.api")

#: Seconds after which a waiter checks the job itself, in case a message was lost.
_LOOK_EVERY = 2.0
_RECONNECT = 0.5


class WaitingRoom:
    """Waiting slots for callers: half of the server's threads, so that the rest stay free."""

    def __init__(self, connection: Connection, jobs: JobQueue, *, places: int) -> None:
        self._connection = connection
        self._jobs = jobs
        self._places = threading.BoundedSemaphore(places)
        self._lock = threading.Lock()
        self._bells: dict[str, set[threading.Event]] = {}
        self._closed = threading.Event()
        self._listener: threading.Thread | None = None

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Hold a waiting slot while the block runs; False if none is free."""
        free = self._places.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._places.release()

    def wait(self, job_id: str, tenant: str, seconds: float) -> Job:
        """Wait until the job has finished, at most `seconds`; returns it as it then is.

        Raises:
            NotFound: there is no such job, or it was erased meanwhile.
        """
        deadline = time.monotonic() + seconds
        with self._bell(job_id) as bell:
            while True:
                job = self._jobs.get(job_id, tenant)
                left = deadline - time.monotonic()
                if job.is_terminal or left <= 0 or self._closed.is_set():
                    return job
                bell.wait(min(left, _LOOK_EVERY))
                bell.clear()

    def close(self) -> None:
        """Wake every waiter; each returns the job as it is."""
        self._closed.set()
        with self._lock:
            for bells in self._bells.values():
                for bell in bells:
                    bell.set()

    @contextmanager
    def _bell(self, job_id: str) -> Iterator[threading.Event]:
        bell = threading.Event()
        with self._lock:
            self._bells.setdefault(job_id, set()).add(bell)
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, daemon=True)
                self._listener.start()
        try:
            yield bell
        finally:
            with self._lock:
                self._bells[job_id].discard(bell)
                if not self._bells[job_id]:
                    del self._bells[job_id]

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                with self._connection.redis.pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(redis_keys.FINISHED.key())
                    while not self._closed.is_set():
                        message = channel.get_message(timeout=1.0)
                        if message is not None:
                            self._ring(message["data"])
            except (redis.RedisError, OSError) as error:
                if self._closed.is_set():
                    return
                log.info("not listening for finished jobs: %s", error)
                self._closed.wait(_RECONNECT)

    def _ring(self, job_id: str) -> None:
        with self._lock:
            for bell in self._bells.get(job_id, ()):
                bell.set()
