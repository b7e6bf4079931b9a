"""One thread owns the device; callers make their photos ready, queue them and wait.

When the device falls free it takes what is queued, interactive first, up to the batch limit. It
never waits for a batch to fill. Photos are encoded together and prompts decoded together, so that
a click on a photo whose embedding is kept never pays for another's encoding. Knows no torch.
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
from worker.engine.backlog import Backlog, Step
from worker.engine.calls import Answer, Ask, Call
from worker.engine.embeddings import EmbeddingCache
from worker.engine.progress import Progress
from worker.segmenters.protocol import Embedding, Prepared, Segmenter

log = logging.getLogger("nukki.worker")


def _never() -> bool:
    return False


class Engine:
    """The device's backlog and its thread."""

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
        self._backlog = Backlog()
        self._progress = Progress()
        threading.Thread(target=self._serve, name="device", daemon=True).start()

    @property
    def model(self) -> str:
        return self._segmenter.name

    @property
    def busy_since(self) -> float:
        """When the device was given the batch it is at, by `time.monotonic`; infinity while idle.

        However long the queue, this is recent, unless one batch takes long: that is a hung device.
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
    ) -> Call:
        """Make an (H, W, 3) uint8 RGB photo ready, in the caller's thread; see `Call`.

        The processor's share of the model's work is done here, beside the device's.
        """
        call = Call(image, digest, asks, urgent, departed)
        if digest not in self.cache:
            call.prepared = self._prepared(call)
        return call

    def segment(self, call: Call) -> Answer:
        """Queue a call that `prepare` made; blocks until the device has answered.

        Raises:
            SegmenterFailed: the segmenter raised, or answered wrongly.
            DeviceLost: the device failed; this process is about to exit.
            LeaseLost: the caller had departed when its turn came.
        """
        step = Step.DECODE if call.prepared is None else Step.ENCODE
        with self._progress.awaited():
            self._backlog.add(step, call)
            return call.future.result()

    def _prepared(self, call: Call) -> Prepared:
        return self._segmenter.prepare(call.image, auto=call.has_auto)

    def _serve(self) -> None:
        while True:
            step, batch = self._backlog.take(self._segmenter.max_batch)
            self._progress.move()
            try:
                if step is Step.ENCODE:
                    self._encode(batch)
                else:
                    batch = self._embedded(batch)
                    self._decode(batch)
            except ServiceError as error:
                self._fail(batch, error)
            except Exception as error:  # noqa: BLE001  # whatever a model may raise
                failure = SegmenterFailed(f"{type(error).__name__}: {error}")
                failure.__cause__ = error
                self._fail(batch, failure)
            self._progress.move()

    def _fail(self, batch: Sequence[Call], error: ServiceError) -> None:
        """Every caller of the batch hears of its error; the thread lives on."""
        for call in batch:
            self.cache.drop(call.digest)  # should its embedding be what is wrong
            call.future.set_exception(error)
        if isinstance(error, DeviceLost):
            log.critical("%s", error)
            self._on_device_lost()

    def _encode(self, batch: Sequence[Call]) -> None:
        """Embed the batch's photos, each once, and queue its calls to be decoded."""
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
        self._backlog.add(Step.DECODE, *batch)

    def _embedded(self, batch: Sequence[Call]) -> list[Call]:
        """Those that can be decoded; a photo whose embedding went meanwhile is encoded first."""
        ready: list[Call] = []
        for call in batch:
            if call.embedding is None:
                call.embedding = self.cache.get(call.digest)
            if call.embedding is None:
                self._backlog.add(Step.ENCODE, call)
            else:
                ready.append(call)
        return ready

    def _decode(self, batch: Sequence[Call]) -> None:
        """Answer the batch's prompts."""
        questions = [ask.of(call.embedding) for call in batch for ask in call.asks]
        if not questions:
            return
        begun = time.perf_counter()
        with device_at_work("decode", len(questions)):
            predictions = self._segmenter.decode(questions)
        _require_one_each(predictions, questions)
        spent_ms = (time.perf_counter() - begun) * 1000
        answered = iter(predictions)
        for call in batch:
            found = tuple(itertools.islice(answered, len(call.asks)))
            call.future.set_result(Answer(found, call.encode_ms, spent_ms))


def _require_one_each(answers: Sequence[object], questions: Sequence[object]) -> None:
    if len(answers) != len(questions):
        raise SegmenterFailed(
            f"{len(answers)} answers to {len(questions)} questions. This is a bug"
        )
