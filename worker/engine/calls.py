"""What the device is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from shared.arrays import FloatArray, UInt8Array
from shared.schema import Prompt
from worker.segmenters.protocol import Embedding, Prediction, Prepared, Question


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt on a photo, and the earlier answer that it starts from; see `Question`."""

    prompt: Prompt
    prior: FloatArray | None = None
    prior_logits: FloatArray | None = None

    def of(self, embedding: Embedding) -> Question:
        """The question that this is, of a photo's embedding."""
        return Question(embedding, self.prompt, self.prior, self.prior_logits)


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction for each ask, and the device's milliseconds for the batches they were in.

    `encode_ms` is 0 where the embedding was kept from before.
    """

    predictions: tuple[Prediction, ...]
    encode_ms: float
    segment_ms: float


@dataclass(eq=False, slots=True)
class Call:
    """A caller at the device: a photo, what is asked of it, and where the answer goes.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        digest: of the photo's file: the key of its embedding.
        asks: one prompt or several, each answered on its own.
        urgent: before all that are not; so is, in the end, who was passed over too often.
        departed: whether the caller no longer wants its answer.
        prepared: what the segmenter made of the photo before it came to the device; None where
            its embedding was kept, and once it is encoded.
        embedding: once there is one.
        turn: its place among those of its urgency, once it is queued.
    """

    image: UInt8Array
    digest: str
    asks: Sequence[Ask]
    urgent: bool
    departed: Callable[[], bool]
    prepared: Prepared | None = None
    embedding: Embedding | None = None
    turn: int | None = None
    encode_ms: float = 0.0
    future: Future[Answer] = field(default_factory=Future)

    @property
    def has_auto(self) -> bool:
        return any(ask.prompt.is_auto for ask in self.asks)
