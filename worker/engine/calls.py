"""A caller's request to the device, and its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from shared.arrays import FloatArray, UInt8Array
from shared.schema import Prompt
from worker.engine.turns import Turn
from worker.segmenters.protocol import Embedding, Prediction, Prepared, Question


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt on a photo, with the earlier mask or logits it refines, if any; see `Question`."""

    prompt: Prompt
    prior: FloatArray | None = None
    prior_logits: FloatArray | None = None

    def of(self, embedding: Embedding) -> Question:
        """The question that puts this prompt to a photo's embedding."""
        return Question(embedding, self.prompt, self.prior, self.prior_logits)


@dataclass(frozen=True, slots=True)
class CallResult:
    """One prediction per ask, and the milliseconds the device took to encode the call's batch.

    `encode_ms` is 0 if the embedding was cached.
    """

    predictions: tuple[Prediction, ...]
    encode_ms: float


@dataclass(eq=False, slots=True)
class Call:
    """A photo and the prompts on it, queued for the device.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        digest: of the photo's file; the key of its embedding in the cache.
        asks: one or more prompts, each answered separately.
        urgent: whether it goes before calls that are not.
        tenant: whose it is.
        departed: returns whether the caller no longer wants the result.
        prepared: the photo as the segmenter prepared it for the device; None if its embedding was
            cached, and again once it is encoded.
        embedding: set once the photo is encoded or found in the cache.
        turn: its place among the calls of its urgency, set when the call is first queued.
        promoted: it was passed over too often, and goes first until it is answered.
        held_up: seconds that the device spent on calls behind this one.
        encode_ms: as in `CallResult`.
        future: receives the result or the error.
    """

    image: UInt8Array
    digest: str
    asks: Sequence[Ask]
    urgent: bool
    departed: Callable[[], bool]
    tenant: str = ""
    prepared: Prepared | None = None
    embedding: Embedding | None = None
    turn: Turn | None = None
    promoted: bool = False
    held_up: float = 0.0
    encode_ms: float = 0.0
    future: Future[CallResult] = field(default_factory=Future)

    @property
    def has_auto(self) -> bool:
        return any(ask.prompt.is_auto for ask in self.asks)
