"""Which workers are alive, and what each serves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from shared.queue import keys as redis_keys
from shared.queue.connection import Connection, translated

#: A worker that has sent no heartbeat for this long is not counted.
ALIVE_MS = 15_000


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker that is ready: started, its model loaded and warm."""

    name: str
    model: str
    device: str
    threads: int


class WorkerRoll:
    """The roll of ready workers."""

    def __init__(self, connection: Connection) -> None:
        self._redis = connection.redis

    def sign_in(self, worker: WorkerInfo) -> None:
        """Count the worker as ready for the next `ALIVE_MS`."""
        with translated():
            pipeline = self._redis.pipeline()
            pipeline.sadd(redis_keys.WORKERS.key(), worker.name)
            pipeline.set(
                redis_keys.WORKER.key(worker.name), json.dumps(asdict(worker)), px=ALIVE_MS
            )
            pipeline.execute()

    def sign_out(self, name: str) -> None:
        """Stop counting the worker."""
        with translated():
            pipeline = self._redis.pipeline()
            pipeline.srem(redis_keys.WORKERS.key(), name)
            pipeline.delete(redis_keys.WORKER.key(name))
            pipeline.execute()

    def present(self) -> list[WorkerInfo]:
        """The workers that are ready now."""
        with translated():
            names = sorted(self._redis.smembers(redis_keys.WORKERS.key()))
            if not names:
                return []
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.get(redis_keys.WORKER.key(name))
                pipeline.pttl(redis_keys.WORKER.key(name))
            answers = pipeline.execute()
            entries = answers[::2]
            for name, left_ms in zip(names, answers[1::2], strict=True):
                if left_ms > ALIVE_MS:  # Redis's clock went back since it signed in
                    self._redis.pexpire(redis_keys.WORKER.key(name), ALIVE_MS)
            gone = [name for name, entry in zip(names, entries, strict=True) if entry is None]
            if gone:
                self._redis.srem(redis_keys.WORKERS.key(), *gone)
        return [WorkerInfo(**json.loads(entry)) for entry in entries if entry is not None]
