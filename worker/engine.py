"""One thread owns the device; callers queue their photos and wait.

When the device falls free it takes what is queued, interactive first, up to the batch limit. It
never waits for a batch to fill. Knows no torch.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from shared.errors import NukkiError, SegmenterFailed
from shared.images.photo import FloatArray, UInt8Array
from shared.spec import Prompt
from worker.segmenters.protocol import Prediction, Question, Segmenter


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction, and the device's milliseconds for the batch it was in."""

    prediction: Prediction
    encode_ms: float
    segment_ms: float


@dataclass(order=True, slots=True)
class _Call:
    urgency: int
    order: int
    image: UInt8Array = field(compare=False)
    prompt: Prompt = field(compare=False)
    prior: FloatArray | None = field(compare=False)
    future: Future[Answer] = field(compare=False, default_factory=Future)


class Engine:
    """The device's queue and its thread."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._queue: queue.PriorityQueue[_Call] = queue.PriorityQueue()
        self._order = itertools.count()
        threading.Thread(target=self._serve, name="device", daemon=True).start()

    @property
    def model(self) -> str:
        return self._segmenter.name

    def segment(
        self, image: UInt8Array, prompt: Prompt, prior: FloatArray | None = None, *, urgent: bool
    ) -> Answer:
        """Cut one (H, W, 3) uint8 RGB photo; blocks until the device has answered.

        Raises:
            SegmenterFailed: the segmenter raised, or answered wrongly.
        """
        call = _Call(0 if urgent else 1, next(self._order), image, prompt, prior)
        self._queue.put(call)
        return call.future.result()

    def _serve(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < self._segmenter.max_batch:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            self._answer(batch)

    def _answer(self, batch: Sequence[_Call]) -> None:
        """Every caller of the batch hears its answer or the batch's error; the thread lives on."""
        try:
            answers = self._run(batch)
        except NukkiError as error:
            for call in batch:
                call.future.set_exception(error)
        except Exception as error:  # noqa: BLE001  # whatever a model may raise
            for call in batch:
                failure = SegmenterFailed(f"{type(error).__name__}: {error}")
                failure.__cause__ = error
                call.future.set_exception(failure)
        else:
            for call, answer in zip(batch, answers, strict=True):
                call.future.set_result(answer)

    def _run(self, batch: Sequence[_Call]) -> list[Answer]:
        begun = time.perf_counter()
        embeddings = self._segmenter.encode([call.image for call in batch])
        encoded = time.perf_counter()
        _require_one_each(embeddings, batch)
        questions = [
            Question(embedding, call.prompt, call.prior)
            for call, embedding in zip(batch, embeddings, strict=True)
        ]
        predictions = self._segmenter.decode(questions)
        decoded = time.perf_counter()
        _require_one_each(predictions, batch)
        times = (encoded - begun) * 1000, (decoded - encoded) * 1000
        return [Answer(prediction, *times) for prediction in predictions]


def _require_one_each(answers: Sequence[object], batch: Sequence[_Call]) -> None:
    if len(answers) != len(batch):
        raise SegmenterFailed(f"{len(answers)} answers to {len(batch)} questions. This is a bug")
