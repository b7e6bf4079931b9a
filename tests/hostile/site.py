"""The API and a worker in this process, on a real Redis and one storage, for two tenants."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from api.app import create_app
from api.services import Services
from shared.arrays import UInt8Array
from shared.job import Job, Status
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.doorbell import make_celery
from shared.queue.jobs import JobQueue
from shared.queue.workers import WorkerInfo
from shared.settings import ApiSettings, WorkerSettings
from shared.storage import Storage, keys
from shared.testing import SilentDoorbell
from tests.api.conftest import Client
from worker.__main__ import build
from worker.job import pipeline
from worker.segmenters.protocol import Prediction, Question

ALPHA = {"X-Api-Key": "alpha-key-0123456789"}
BETA = {"X-Api-Key": "beta-key-0123456789"}
SIZE = (600, 400)


class Bright:
    """A segmenter that finds what is bright; its embedding is the photo."""

    name, device, max_batch = "bright", "cpu", 4

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> UInt8Array:  # noqa: ARG002
        return image

    def encode(self, photos: Sequence[UInt8Array]) -> list[UInt8Array]:
        return list(photos)

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Prediction:
        mask = np.asarray(question.embedding[..., 0], np.float32) / np.float32(255)
        return Prediction(mask, (0.9,), ("mine",), np.zeros((4, 4), np.float32), (0.9,))


def photo(box: tuple[int, int, int, int], *, length: int = 0) -> bytes:
    """A PNG of a bright box on black, with bytes after its end up to `length`."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    data = cv2.imencode(".png", image)[1].tobytes()
    return data.ljust(length, b"\0")


class Site:
    """Everything of one small installation; a worker runs a job when it is told to."""

    def __init__(self, connection: Connection, storage: Storage, **settings: object) -> None:
        options = connection.redis.connection_pool.connection_kwargs
        url = f"redis://{options['host']}:{options['port']}/0"
        tenants = f"alpha:{ALPHA['X-Api-Key']},beta:{BETA['X-Api-Key']}"
        api = ApiSettings.load(redis_url=url, api_keys=tenants, **settings)
        self.services = dataclasses.replace(
            Services.connect(api), storage=storage, doorbell=SilentDoorbell()
        )
        app = create_app(api, self.services)
        self.client = Client(app, app.response_class)
        self.storage = storage
        self.redis = connection.redis
        self.jobs = JobQueue(connection, retention_ms=60_000)
        worker = WorkerSettings.load(redis_url=url)
        me = WorkerInfo("one", "bright", "cpu", threads=1)
        built = build(worker, make_celery(worker), Bright(), me)
        self.runtime = dataclasses.replace(built, storage=storage)

    def close(self) -> None:
        self.services.waiting.close()

    def submit(self, who: dict[str, str], image: bytes | None = None, **job: Any) -> Any:
        """Post a job on a photo, or on what the job itself names."""
        if image is None:
            return self.client.post("/v1/jobs", json=job, headers=who)
        data = {"image": (io.BytesIO(image), "photo"), "job": json.dumps(job)}
        return self.client.post(
            "/v1/jobs", data=data, content_type="multipart/form-data", headers=who
        )

    def upload(self, who: dict[str, str], size: int) -> Any:
        answer = self.client.post("/v1/uploads", json={"bytes": size}, headers=who)
        assert answer.status_code == 201, answer.text
        return answer.json

    def work(self, job_id: str) -> Job:
        """Let a worker run the job once; the job afterwards."""
        self.redis.hdel(redis_keys.JOB.key(job_id), "not_before")
        pipeline.process(self.runtime, job_id)
        return self.jobs.get(job_id)

    def cut(self, who: dict[str, str], image: bytes | None = None, **job: Any) -> Job:
        """Submit and run a job that must succeed."""
        answer = self.submit(who, image, **job)
        assert answer.status_code == 202, answer.text
        done = self.work(answer.json["id"])
        assert done.status is Status.SUCCEEDED, done.outcome
        return done

    def stored(self, job: Job) -> bytes:
        """The photo that the job read."""
        return self.storage.get(keys.input_key(job.tenant, job.input_id))

    def require_honest(self, job: Job) -> None:
        """Fail unless digest, size and pixels on record are those of the stored photo."""
        data, known = self.stored(job), self.jobs.input(job.input_id, job.tenant)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert known.digest == hashlib.sha256(data).hexdigest()
        assert (known.bytes, known.pixels) == (len(data), image.shape[0] * image.shape[1])


def box_of(job: Job) -> tuple[int, int, int, int]:
    """Of the subject that was found."""
    assert job.outcome is not None
    assert job.outcome.subject is not None
    return job.outcome.subject.box
