"""GrabCut: a cut without weights, the embedded default until a checkpoint is pulled.

C. Rother, V. Kolmogorov, A. Blake, "GrabCut: Interactive Foreground Extraction using Iterated
Graph Cuts", SIGGRAPH 2004; OpenCV's implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from shared.images.photo import FloatArray, UInt8Array
from shared.spec import Prompt
from worker.segmenters.protocol import Prediction, Question

#: The longest side that GrabCut works at: beyond it the cut gets slower, not better.
WORK_SIDE = 512
_ITERATIONS = 3
_SURE = (cv2.GC_BGD, cv2.GC_FGD)


@dataclass(frozen=True, slots=True)
class _Reduced:
    """A photo at working size. `scale` takes full-size pixels to working ones, (x, y)."""

    rgb: UInt8Array
    scale: tuple[float, float]


class GrabCutSegmenter:
    """Points of both signs, a box, an earlier mask, or nothing: the middle is the subject then."""

    name = "grabcut"
    max_batch = 1

    def encode(self, images: Sequence[UInt8Array]) -> list[_Reduced]:
        return [_reduce(image) for image in images]

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        return [_cut(question) for question in questions]


def _reduce(image: UInt8Array) -> _Reduced:
    height, width = image.shape[:2]
    factor = min(1.0, WORK_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor < 1 else image
    return _Reduced(np.asarray(small, np.uint8), (size[0] / width, size[1] / height))


def _cut(question: Question) -> Prediction:
    photo: _Reduced = question.embedding
    trimap = _trimap(photo, question.prompt, question.prior)
    has_both = len(np.unique(trimap % 2)) == 2  # probable and sure foreground are odd
    if has_both:
        # One device thread calls this, so the global seed makes the cut repeatable.
        cv2.setRNGSeed(0)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(photo.rgb, trimap, (0, 0, 0, 0), *models, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    hard = (trimap % 2).astype(np.float32)
    if question.prompt.points:
        hard = _touched(hard, photo, question.prompt)
    # Anti-aliased, so that it can be brought to full size without steps.
    soft = cv2.GaussianBlur(hard, (0, 0), 0.8)
    return Prediction(mask=np.asarray(soft, np.float32), scores=(1.0,))


def _trimap(photo: _Reduced, prompt: Prompt, prior: FloatArray | None) -> UInt8Array:
    """GrabCut's (h, w) start: 0 and 1 are sure, 2 and 3 probable back- and foreground."""
    height, width = photo.rgb.shape[:2]
    side = min(height, width)
    trimap: UInt8Array
    if prior is not None:
        small = cv2.resize(prior, (width, height), interpolation=cv2.INTER_AREA)
        trimap = np.where(small > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    elif prompt.box is not None:
        trimap = np.full((height, width), cv2.GC_PR_FGD, np.uint8)
    else:
        trimap = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
        seeds = _positives(photo, prompt) or [(width // 2, height // 2)]
        for seed in seeds:
            cv2.circle(trimap, seed, max(1, int(0.35 * side)), cv2.GC_PR_FGD, -1)
        frame = max(1, round(0.02 * side))
        trimap[:frame], trimap[-frame:] = cv2.GC_BGD, cv2.GC_BGD
        trimap[:, :frame], trimap[:, -frame:] = cv2.GC_BGD, cv2.GC_BGD
    if prompt.box is not None:
        trimap = np.where(_inside(photo, prompt.box), trimap, cv2.GC_BGD).astype(np.uint8)
    for (x, y), sign in zip(prompt.points, prompt.signs, strict=True):
        centre = _at(photo, x, y)
        cv2.circle(trimap, centre, max(1, side // 64), _SURE[sign], -1)
    return trimap


def _at(photo: _Reduced, x: float, y: float) -> tuple[int, int]:
    """A full-size point in working pixels."""
    height, width = photo.rgb.shape[:2]
    return min(int(x * photo.scale[0]), width - 1), min(int(y * photo.scale[1]), height - 1)


def _positives(photo: _Reduced, prompt: Prompt) -> list[tuple[int, int]]:
    return [_at(photo, *xy) for xy, sign in zip(prompt.points, prompt.signs, strict=True) if sign]


def _inside(photo: _Reduced, box: tuple[float, float, float, float]) -> UInt8Array:
    height, width = photo.rgb.shape[:2]
    x1, y1 = _at(photo, box[0], box[1])
    x2, y2 = round(box[2] * photo.scale[0]), round(box[3] * photo.scale[1])
    inside = np.zeros((height, width), np.uint8)
    inside[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)] = 1
    return inside


def _touched(hard: FloatArray, photo: _Reduced, prompt: Prompt) -> FloatArray:
    """Only the pieces that a positive point lies in; all of them where there is none."""
    seeds = _positives(photo, prompt)
    if not seeds:
        return hard
    _count, labels = cv2.connectedComponents(hard.astype(np.uint8))
    kept = {int(labels[y, x]) for x, y in seeds} - {0}
    return np.isin(labels, list(kept)).astype(np.float32)
