"""The cut: a subject's alpha, with what the segmenter said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from shared.arrays import FloatArray, UInt8Array
from shared.images.photo import Photo
from shared.schema import JobRequest
from worker.job.segmentation import Finding
from worker.matting.alpha import cut_alpha
from worker.segmenters.protocol import Prediction


@dataclass(frozen=True, slots=True)
class Cut:
    """A subject's alpha, (H, W) uint8, and what the segmenter said of it; see `Prediction`.

    `judged`: for each object's mask, the IoU that its model predicts and its stability; empty for a
    segmenter whose scores are not IoU.
    """

    alpha: UInt8Array
    scores: tuple[float, ...] = ()
    stability: tuple[float, ...] = ()
    reasons: tuple[str, ...] = ()
    logits: FloatArray | None = None
    judged: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, alpha: UInt8Array, predictions: Sequence[Prediction]) -> Self:
        """Of one prediction, all its scores; of several, the chosen score of each, in order."""
        judged = tuple(
            (item.scores[0], item.stability[0]) for item in predictions if item.stability
        )
        if len(predictions) == 1:
            only = predictions[0]
            return cls(alpha, only.scores, only.stability, only.reasons, only.logits, judged)
        return cls(
            alpha,
            scores=tuple(item.scores[0] for item in predictions),
            stability=tuple(item.stability[0] for item in predictions if item.stability),
            reasons=tuple(dict.fromkeys(name for item in predictions for name in item.reasons)),
            judged=judged,
        )


def cut_out(request: JobRequest, photo: Photo, finding: Finding) -> Cut:
    """The cut at the photo's size, from what the device found in it or in a close-up of it."""
    prompts, part = request.prompts, None
    if finding.closeup is not None:
        prompts, part = (finding.closeup.prompt,), finding.closeup.box
    masks = [prediction.mask for prediction in finding.predictions]
    alpha = cut_alpha(masks, prompts, photo, request.output, part)
    return Cut.of(alpha, finding.predictions)
