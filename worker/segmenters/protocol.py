from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.arrays import FloatArray, UInt8Array
from shared.schema import Prompt

#: A photo after `prepare`, which runs on the CPU; its type is the segmenter's own.
Prepared = Any
#: A photo after `encode`, used for every prompt on it; the segmenter's own type, with `nbytes`.
Embedding = Any


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt to decode against one embedding.

    Attributes:
        embedding: the result of `encode` for the photo.
        prompt: in pixels of the full-size photo.
        prior: (h, w) float32 in 0..1, the earlier mask that `prompt.mask` names, at any size.
        prior_logits: (256, 256) float32, the `Prediction.logits` of that earlier mask from the
            same model; a segmenter that takes logits prefers them to `prior`.
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
        scores: estimated quality of each candidate mask, 0..1, the chosen one first.
        reasons: why the result needs review; empty if it does not.
        logits: (256, 256) float32, the chosen mask's logits, to store and to pass back as
            `Question.prior_logits`; None from a segmenter without logits.
        stability: of each candidate, 0..1, in the order of `scores`; empty if not computed.
    """

    mask: FloatArray
    scores: tuple[float, ...]
    reasons: tuple[str, ...] = ()
    logits: FloatArray | None = None
    stability: tuple[float, ...] = ()


class Segmenter(Protocol):
    """A model that answers prompts in three steps, so that a second click costs one `decode`.

    `encode` and `decode` are called from the device's thread only and return one result per item.
    `prepare` is the work that the CPU can do beforehand; many threads may call it at once.
    """

    name: str
    device: str
    max_batch: int

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> Prepared:
        """Do the CPU's part of embedding an (H, W, 3) uint8 RGB photo.

        With `auto`, also the CPU's part of finding the subject without a prompt.
        """

    def encode(self, photos: Sequence[Prepared]) -> list[Embedding]:
        """Embed prepared photos."""

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        """Answer each prompt on its embedding."""
