from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.arrays import FloatArray, UInt8Array
from shared.schema import Prompt

#: Whatever a segmenter makes of a photo on the processor, before the device sees it.
Prepared = Any
#: Whatever a segmenter computes of a photo once and uses for every prompt on it. It has `nbytes`.
Embedding = Any


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt to decode against one embedding.

    Attributes:
        embedding: what `encode` gave for the photo.
        prompt: in pixels of the full-size photo.
        prior: (h, w) float32 in 0..1, the earlier mask that `prompt.mask` names, at any size.
        prior_logits: (256, 256) float32, that answer's `Prediction.logits` by the same model; a
            segmenter that knows logits prefers them to `prior`.
    """

    embedding: Embedding
    prompt: Prompt
    prior: FloatArray | None = None
    prior_logits: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """A segmenter's answer.

    Attributes:
        mask: (h, w) float32 in 0..1, soft, of the whole photo, at the segmenter's own size.
        scores: how good each candidate mask is thought to be, 0..1, the chosen one first.
        reasons: why a person should look at it; empty where none should.
        logits: (256, 256) float32, the chosen mask as the model gave it, to store and to give back
            as `Question.prior_logits`; None of a segmenter without logits.
        stability: of each candidate in the order of `scores`, 0..1; empty where there are none.
    """

    mask: FloatArray
    scores: tuple[float, ...]
    reasons: tuple[str, ...] = ()
    logits: FloatArray | None = None
    stability: tuple[float, ...] = ()


class Segmenter(Protocol):
    """Two steps, because the second must be cheap: a second click costs one `decode`.

    Both are called by one thread, the device's, and give as many answers as questions. What the
    processor can do before is a step of its own, for any number of threads at once.
    """

    name: str
    device: str
    max_batch: int

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> Prepared:
        """The processor's share of embedding an (H, W, 3) uint8 RGB photo.

        With `auto`, of finding its subject unprompted too.
        """

    def encode(self, photos: Sequence[Prepared]) -> list[Embedding]:
        """Embed prepared photos."""

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        """Answer prompts, each on its own embedding."""
