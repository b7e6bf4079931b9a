"""One thread owns the device; callers prepare their photos, queue them and wait.

When the device becomes free it takes what is queued, interactive first, up to the batch limit. It
never waits for a batch to fill. A batch either encodes photos or decodes prompts, so a click on a
photo whose embedding is cached never shares its batch with another photo's encoding; `device_queue`
says which goes first. Imports no torch.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence

from shared.arrays import UInt8Array
from shared.errors import DeviceLost, SegmenterFailed, ServiceError
from shared.metrics.worker import device_at_work
from worker.engine.calls import Ask, Call, CallResult
from worker.engine.device_queue import DeviceQueue, Step
from worker.engine.embeddings import EmbeddingCache
from worker.engine.progress import Progress
from worker.segmenters.protocol import Embedding, Prepared, Segmenter

log = logging.getLogger("nukki.worker")


def _never() -> bool:
    return False


class Engine:
    """The device's thread, its queue and its embedding cache."""

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
        self._queue = DeviceQueue()
        self._progress = Progress()
        threading.Thread(target=self._serve, name="device", daemon=True).start()

    @property
    def model(self) -> str:
        return self._segmenter.name

    @property
    def busy_since(self) -> float:
        """The `time.monotonic` at which the current batch began; infinity while idle.

        This stays recent even if the queue is long. Only a batch that takes too long, that is a
        hung device, makes it old.
        """
        return self._progress.since

    def prepare(
        self,
        image: UInt8Array,
        asks: Sequence[Ask],
        *,
        digest: str,
        urgent: bool,
        departed: Callable[[], bool] = _never,
        tenant: str = "",
    ) -> Call:
        """Prepare an (H, W, 3) uint8 RGB photo in the caller's thread; see `Call`.

        The CPU's share of the model's work is done here, while the device works on other calls.
        """
        call = Call(image, digest, asks, urgent, departed, tenant)
        if digest not in self.cache:
            call.prepared = self._prepared(call)
        return call

    def segment(self, call: Call) -> CallResult:
        """Queue a call that `prepare` made, and block until the device has answered it.

        Raises:
            SegmenterFailed: the segmenter raised, or returned the wrong number of answers.
            DeviceLost: the device failed; this process is about to exit.
            LeaseLost: the caller had departed when its turn came.
        """
        step = Step.DECODE if call.prepared is None else Step.ENCODE
        with self._progress.awaited():
            self._queue.add(step, call)
            return call.future.result()

    def _prepared(self, call: Call) -> Prepared:
        return self._segmenter.prepare(call.image, auto=call.has_auto)

    def _serve(self) -> None:
        while True:
            self._serve_batch()

    def _serve_batch(self) -> None:
        """Wait for a batch and answer it; returning lets go of its photos."""
        step, batch = self._queue.take(self._segmenter.max_batch)
        self._progress.move()
        try:
            if step is Step.ENCODE:
                self._encode(batch)
            else:
                batch = self._embedded(batch)
                self._decode(batch)
        except ServiceError as error:
            self._fail(batch, error)
        except Exception as error:  # noqa: BLE001  # a model may raise anything
            failure = SegmenterFailed(f"{type(error).__name__}: {error}")
            failure.__cause__ = error
            self._fail(batch, failure)
        self._progress.move()

    def _fail(self, batch: Sequence[Call], error: ServiceError) -> None:
        """Raise the error in every caller of the batch; the device's thread carries on."""
        for call in batch:
            self.cache.drop(call.digest)  # the embedding itself may be at fault
            call.future.set_exception(error)
        if isinstance(error, DeviceLost):
            log.critical("%s", error)
            self._on_device_lost()

    def _encode(self, batch: Sequence[Call]) -> None:
        """Encode each distinct photo of the batch once, then queue its calls for decoding."""
        made: dict[str, Embedding] = {}
        missing: dict[str, Call] = {}
        begun = time.perf_counter()
        for call in batch:
            call.embedding = self.cache.get(call.digest)
            if call.embedding is None:
                missing.setdefault(call.digest, call)
        if missing:
            ready = [
                self._prepared(call) if call.prepared is None else call.prepared
                for call in missing.values()
            ]
            with device_at_work("encode", len(ready)):
                embeddings = self._segmenter.encode(ready)
            _require_one_each(embeddings, ready)
            made = dict(zip(missing, embeddings, strict=True))
            for digest, embedding in made.items():
                self.cache.put(digest, embedding)
        spent_ms = (time.perf_counter() - begun) * 1000
        for call in batch:
            call.prepared = None
            if call.embedding is None:
                call.embedding, call.encode_ms = made[call.digest], spent_ms
        self._queue.add(Step.DECODE, *batch)

    def _embedded(self, batch: Sequence[Call]) -> list[Call]:
        """The calls ready for decoding; those whose embedding was evicted are queued to encode."""
        ready: list[Call] = []
        for call in batch:
            if call.embedding is None:
                call.embedding = self.cache.get(call.digest)
            if call.embedding is None:
                self._queue.add(Step.ENCODE, call)
            else:
                ready.append(call)
        return ready

    def _decode(self, batch: Sequence[Call]) -> None:
        """Decode the batch's prompts together and hand each call its predictions."""
        questions = [ask.of(call.embedding) for call in batch for ask in call.asks]
        if not questions:
            return
        with device_at_work("decode", len(questions)):
            predictions = self._segmenter.decode(questions)
        _require_one_each(predictions, questions)
        unassigned = iter(predictions)
        for call in batch:
            own = tuple(itertools.islice(unassigned, len(call.asks)))
            call.future.set_result(CallResult(own, call.encode_ms))


def _require_one_each(answers: Sequence[object], questions: Sequence[object]) -> None:
    if len(answers) != len(questions):
        raise SegmenterFailed(
            f"{len(answers)} answers to {len(questions)} questions. This is a bug"
        )
