"""Queueing jobs without HTTP: hundreds with photos, or 200,000 without files."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from redis.commands.core import Script

from shared.images.probe import probe
from shared.job import Input, Job, Lane, new_id
from shared.queue import keys as redis_keys
from shared.queue import scripts
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES, Doorbell, make_celery
from shared.queue.family import PREFIX
from shared.queue.jobs import JobQueue
from shared.schema import JobRequest, Output, Priority, Prompt
from shared.settings import DEFAULT_TENANT, StackSettings
from shared.storage import Storage, keys, open_storage

#: How long an input may wait for its job, as for an upload through the API.
_UNCLAIMED_MS = 15 * 60 * 1000
_BASE_URL = "http://127.0.0.1:8000"
_CHUNK = 1_000
_EXAMPLE = "job_" + "0" * 24


@dataclass(frozen=True, slots=True)
class Store:
    """The storage and queue of one stack, as its API uses them."""

    settings: StackSettings
    storage: Storage
    connection: Connection

    @classmethod
    def of(cls, settings: StackSettings) -> Store:
        return cls(settings, open_storage(settings), Connection(settings.redis_url))

    @property
    def retention_ms(self) -> int:
        return int(self.settings.retention * 1000)

    def jobs(self) -> JobQueue:
        return JobQueue(self.connection, retention_ms=self.retention_ms)

    def close(self) -> None:
        self.connection.close()


def seed(
    store: Store,
    photos: Iterable[bytes],
    *,
    priority: Priority = Priority.BULK,
    prompt: Prompt | None = None,
    output: Output | None = None,
) -> list[str]:
    """Store the photos, queue a job for each, then ring all doorbells; the ids in order."""
    request = JobRequest(priority=priority, prompt=prompt or Prompt(), output=output or Output())
    jobs = store.jobs()

    def accept(data: bytes) -> str:
        photo = _input(
            hashlib.sha256(data).hexdigest(),
            len(data),
            probe(data, max_pixels=store.settings.max_pixels).pixels,
        )
        jobs.note_input(photo.id, photo.tenant, expiry_ms=_UNCLAIMED_MS)
        key = keys.input_key(photo.tenant, photo.id)
        store.storage.put(key, data, "application/octet-stream")
        job = _job(request, photo)
        jobs.accept(job, photo)
        return job.id

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(accept, photos))
    bell = Doorbell(make_celery(store.settings))
    for job_id in made:
        bell.ring(job_id, Lane.of(request))
    return made


def _input(digest: str, size: int, pixels: int) -> Input:
    """The API's record of a photo that was posted with its job."""
    return Input(
        new_id("inp"), DEFAULT_TENANT, stored=True, digest=digest, bytes=size, pixels=pixels
    )


def _job(request: JobRequest, photo: Input) -> Job:
    return Job(new_id("job"), DEFAULT_TENANT, request, photo.id, _BASE_URL)


class _Pipelined:
    """Replaces `Connection` to send a thousand scripts at once: same scripts, same arguments, one
    round trip. The individual answers are not checked.
    """

    def __init__(self, connection: Connection) -> None:
        self._redis = connection.redis
        self._scripts: dict[str, Script] = {}
        self.pipeline = self._redis.pipeline(transaction=False)

    def run(self, script: str, **args: Any) -> Any:
        """Queue a script; returns the answer of a first accept."""
        if script not in self._scripts:
            self._scripts[script] = self._redis.register_script(scripts.source(script))
        given = {name: value for name, value in args.items() if value is not None}
        self._scripts[script](keys=[PREFIX], args=[json.dumps(given)], client=self.pipeline)
        return ("accepted", args.get("id"), 0, 0) if script == "accept" else 0


def seed_bare(store: Store, count: int, *, priority: Priority = Priority.BULK) -> list[str]:
    """Queue `count` jobs with their input's record and message, but without a file.

    Redis is left as after a real submission, with the input recorded and its digest known.

    Raises:
        RuntimeError: not all of them were accepted.
    """
    request = JobRequest(priority=priority)
    queue = QUEUES[Lane.of(request)]
    template = _message(store, queue)
    made: list[str] = []
    pipelined = _Pipelined(store.connection)
    jobs = JobQueue(pipelined, retention_ms=store.retention_ms)  # type: ignore[arg-type]
    before = store.connection.redis.zcard(redis_keys.DUE.key())
    while len(made) < count:
        for _ in range(min(_CHUNK, count - len(made))):
            photo = _input(uuid.uuid4().hex * 2, 250_000, 1_000_000)
            jobs.note_input(photo.id, photo.tenant, expiry_ms=_UNCLAIMED_MS)
            job = _job(request, photo)
            jobs.accept(job, photo)
            pipelined.pipeline.lpush(queue, _for_job(template, job.id))
            made.append(job.id)
        pipelined.pipeline.execute()
    found = store.connection.redis.zcard(redis_keys.DUE.key()) - before
    if found != count:
        raise RuntimeError(f"{found} of {count} jobs were accepted")
    return made


def _message(store: Store, queue: str) -> dict[str, Any]:
    """A message written by Celery, taken out of its queue again."""
    redis = store.connection.redis
    lane = next(lane for lane, name in QUEUES.items() if name == queue)
    if not Doorbell(make_celery(store.settings)).ring(_EXAMPLE, lane):
        raise RuntimeError("the broker took no message")
    [text] = [item for item in redis.lrange(queue, 0, -1) if _EXAMPLE in item]
    redis.lrem(queue, 1, text)
    return dict(json.loads(text))


_EXAMPLE = "job_" + "0" * 24


def _for_job(template: dict[str, Any], job_id: str) -> str:
    """The message for another job: of the same length, with its own id."""
    arguments = base64.b64decode(template["body"]).decode().replace(_EXAMPLE, job_id)
    body = base64.b64encode(arguments.encode()).decode()
    text = json.dumps(template | {"body": body}).replace(_EXAMPLE, job_id)
    return text.replace(template["headers"]["id"], str(uuid.uuid4()))


def waiting(store: Store) -> int:
    """The number of unfinished jobs, queued or leased."""
    families = (redis_keys.DUE, redis_keys.LEASED)
    return sum(int(store.connection.redis.zcard(family.key())) for family in families)


def records(store: Store, ids: Sequence[str]) -> list[Job]:
    """The jobs' records."""
    pipeline = store.connection.redis.pipeline(transaction=False)
    for job_id in ids:
        pipeline.hgetall(redis_keys.JOB.key(job_id))
    return [
        Job.from_fields(job_id, fields)
        for job_id, fields in zip(ids, pipeline.execute(), strict=True)
    ]
