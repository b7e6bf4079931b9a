"""The segmenter without weights: GrabCut from several guesses, the best one refined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.arrays import BoolArray, UInt8Array
from worker.segmenters.classical.choice import Traits, traits
from worker.segmenters.classical.doubt import confidence, reasons
from worker.segmenters.classical.finish import obey, redraw
from worker.segmenters.classical.guesses import guesses
from worker.segmenters.classical.hints import read
from worker.segmenters.classical.hypotheses import pursue
from worker.segmenters.classical.view import View, take_in
from worker.segmenters.masks import iou
from worker.segmenters.protocol import Prediction, Question


class GrabCutSegmenter:
    """`Segmenter` on OpenCV alone.

    Every step is deterministic: OpenCV has one random generator per thread, and it is seeded before
    each use.
    """

    name = "grabcut"
    device = "cpu"
    max_batch = 1

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> View:  # noqa: ARG002
        """Reduce an (H, W, 3) uint8 RGB photo to the scales that the cut works on."""
        return take_in(image)

    def encode(self, photos: Sequence[View]) -> list[View]:
        """Return the prepared photos: there is nothing to encode."""
        return list(photos)

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        """Cut out the subject of each prompt from its photo."""
        return [_answer(question) for question in questions]


def _answer(question: Question) -> Prediction:
    view: View = question.embedding
    size = (view.width, view.height)
    coarse = read(question.prompt, question.prior, size, view.shape)
    fine_shape = (view.fine.shape[0], view.fine.shape[1])
    fine = read(question.prompt, question.prior, size, fine_shape)

    regions = [pursue(view, coarse, guess) for guess in guesses(view, coarse)]
    described = [(traits(view, coarse, region, regions), region) for region in regions]
    ranked = sorted(
        ((found, region) for found, region in described if found is not None),
        key=lambda pair: -pair[0].score,
    )
    if not ranked:
        # Nothing stands out, so only explicit clicks and boxes can be answered.
        empty = obey(np.zeros(fine_shape, dtype=np.float32), fine)
        return Prediction(mask=empty, scores=(0.0,), reasons=("no_subject",))
    best, region = ranked[0]
    mask = redraw(view, fine, region)
    scores = tuple(confidence(found) for found, _ in _distinct(ranked))
    return Prediction(mask=mask, scores=scores, reasons=reasons(coarse, region, best))


def _distinct(ranked: Sequence[tuple[Traits, BoolArray]]) -> list[tuple[Traits, BoolArray]]:
    """At most three candidates, best first, each with an IoU below 0.9 with the others."""
    kept: list[tuple[Traits, BoolArray]] = []
    for found, region in ranked:
        if all(_differ(region, other) for _, other in kept):
            kept.append((found, region))
    return kept[:3]


def _differ(one: BoolArray, other: BoolArray) -> bool:
    return iou(one, other) < 0.9
