"""One thread owns the device; callers queue their photos and wait.

When the device falls free it takes what is queued, interactive first, up to the batch limit. It
never waits for a batch to fill. A photo whose embedding is kept costs a decode. Knows no torch.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from shared.errors import DeviceLost, NukkiError, SegmenterFailed
from shared.images.photo import FloatArray, UInt8Array
from shared.spec import Prompt
from worker.embeddings import EmbeddingCache
from worker.segmenters.protocol import Embedding, Prediction, Question, Segmenter

log = logging.getLogger("nukki.worker")


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt on a photo, and the earlier answer that it starts from; see `Question`."""

    prompt: Prompt
    prior: FloatArray | None = None
    prior_logits: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction for each ask, and the device's milliseconds for the batch they were in.

    `encode_ms` is 0 where the embedding was kept from before.
    """

    predictions: tuple[Prediction, ...]
    encode_ms: float
    segment_ms: float


@dataclass(order=True, slots=True)
class _Call:
    urgency: int
    order: int
    image: UInt8Array = field(compare=False)
    digest: str = field(compare=False)
    asks: Sequence[Ask] = field(compare=False)
    future: Future[Answer] = field(compare=False, default_factory=Future)


class Engine:
    """The device's queue and its thread."""

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        cache_bytes: int = 0,
        on_device_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._segmenter = segmenter
        self.cache = EmbeddingCache(cache_bytes)
        self._on_device_lost = on_device_lost
        self._queue: queue.PriorityQueue[_Call] = queue.PriorityQueue()
        self._order = itertools.count()
        threading.Thread(target=self._serve, name="device", daemon=True).start()

    @property
    def model(self) -> str:
        return self._segmenter.name

    def segment(
        self, image: UInt8Array, asks: Sequence[Ask], *, digest: str, urgent: bool
    ) -> Answer:
        """Cut one (H, W, 3) uint8 RGB photo; blocks until the device has answered.

        Args:
            image: the photo.
            asks: one prompt or several, each answered on its own.
            digest: of the photo's file: the key of its embedding.
            urgent: before all that is not.

        Raises:
            SegmenterFailed: the segmenter raised, or answered wrongly.
            DeviceLost: the device failed; this process is about to exit.
        """
        call = _Call(0 if urgent else 1, next(self._order), image, digest, tuple(asks))
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
            self._fail(batch, error)
        except Exception as error:  # noqa: BLE001  # whatever a model may raise
            failure = SegmenterFailed(f"{type(error).__name__}: {error}")
            failure.__cause__ = error
            self._fail(batch, failure)
        else:
            for call, answer in zip(batch, answers, strict=True):
                call.future.set_result(answer)

    def _fail(self, batch: Sequence[_Call], error: NukkiError) -> None:
        for call in batch:
            self.cache.drop(call.digest)  # should its embedding be what is wrong
            call.future.set_exception(error)
        if isinstance(error, DeviceLost):
            log.critical("%s", error)
            self._on_device_lost()

    def _run(self, batch: Sequence[_Call]) -> list[Answer]:
        begun = time.perf_counter()
        embeddings, fresh = self._embed(batch)
        encoded = time.perf_counter()
        questions = [
            Question(embeddings[call.digest], ask.prompt, ask.prior, ask.prior_logits)
            for call in batch
            for ask in call.asks
        ]
        predictions = self._segmenter.decode(questions)
        decoded = time.perf_counter()
        _require_one_each(predictions, questions)
        encode_ms, segment_ms = (encoded - begun) * 1000, (decoded - encoded) * 1000
        answered = iter(predictions)
        return [
            Answer(
                tuple(itertools.islice(answered, len(call.asks))),
                encode_ms if call.digest in fresh else 0.0,
                segment_ms,
            )
            for call in batch
        ]

    def _embed(self, batch: Sequence[_Call]) -> tuple[dict[str, Embedding], set[str]]:
        """Each photo's embedding by digest, and which of them were made now: each photo once."""
        embeddings: dict[str, Embedding] = {}
        missing: dict[str, UInt8Array] = {}
        for call in batch:
            if call.digest in embeddings or call.digest in missing:
                continue
            kept = self.cache.get(call.digest)
            if kept is None:
                missing[call.digest] = call.image
            else:
                embeddings[call.digest] = kept
        if missing:
            made = self._segmenter.encode(list(missing.values()))
            _require_one_each(made, list(missing))
            for digest, embedding in zip(missing, made, strict=True):
                embeddings[digest] = embedding
                self.cache.put(digest, embedding)
        return embeddings, set(missing)


def _require_one_each(answers: Sequence[object], questions: Sequence[object]) -> None:
    if len(answers) != len(questions):
        raise SegmenterFailed(
            f"{len(answers)} answers to {len(questions)} questions. This is a bug"
        )
