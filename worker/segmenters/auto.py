"""The subject of a photo that nobody clicked: propose, ask the model, choose.

A promptable model answers whatever it is asked, so the question is where to ask. The classical cut
proposes its own subject (its box, its deepest point, both), and a coarse grid of points proposes
everything else. The model's masks then compete by `verdict`, a pure function of masks and scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from shared.arrays import BoolArray, FloatArray, UInt8Array
from shared.schema import Prompt
from worker.segmenters.classical.choice import bounds
from worker.segmenters.classical.view import FINE
from worker.segmenters.grabcut import GrabCutSegmenter
from worker.segmenters.masks import iou
from worker.segmenters.protocol import Prediction, Question, Segmenter

#: Points a side of the grid.
GRID = 4
#: Longest side at which masks are compared.
_COMPARED = 128
#: Two proposals mean the same thing from this IoU on; below the other they mean different ones.
_SAME, _OTHER = 0.7, 0.3
#: Shares of the photo between which a subject is expected.
_TINY, _FULL = 0.005, 0.85
#: What a mask of an unlikely size, or along three sides, is worth beside a likely one.
_UNLIKELY = 0.3
#: Below this score a person should look; so they should where another subject comes this near.
UNSURE, RIVAL = 0.5, 0.9


@dataclass(frozen=True, slots=True)
class Scene:
    """A photo as the model has it, and small, for the classical proposal.

    Attributes:
        photo: prepared for the model, or its embedding.
        small: (h, w, 3) uint8 RGB.
        classical: (h, w) float32, the classical cut of a photo that nobody clicked; None until
            it is asked for.
        width: of the photo.
        height: of the photo.
    """

    photo: Any
    small: UInt8Array
    classical: FloatArray | None
    width: int
    height: int

    @property
    def nbytes(self) -> int:
        """Of an embedded photo."""
        own = 0 if self.classical is None else self.classical.nbytes
        return int(self.photo.nbytes) + self.small.nbytes + own


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which candidate is the subject, how sure that is, and why a person should look."""

    index: int
    score: float
    reasons: tuple[str, ...]


class AutoSegmenter:
    """A promptable model, whose predictions have stability, that can also be asked nothing."""

    def __init__(self, model: Segmenter) -> None:
        self._model = model
        self._classical = GrabCutSegmenter()
        self.name = model.name
        self.device = model.device
        self.max_batch = model.max_batch

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> Scene:
        """With the classical cut, where it is known to be needed: the device need not wait."""
        small = _reduced(image)
        return Scene(
            photo=self._model.prepare(image),
            small=small,
            classical=self._classical_mask(small) if auto else None,
            width=image.shape[1],
            height=image.shape[0],
        )

    def encode(self, photos: Sequence[Scene]) -> list[Scene]:
        features = self._model.encode([scene.photo for scene in photos])
        return [replace(scene, photo=found) for scene, found in zip(photos, features, strict=True)]

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        """All prompts of all questions together: a proposal is batched like any other prompt."""
        asked: list[Question] = []
        spans: list[tuple[int, int, FloatArray | None]] = []
        for question in questions:
            scene: Scene = question.embedding
            prompts, classical = [question.prompt], None
            if question.prompt.is_auto:
                classical = scene.classical
                if classical is None:  # its photo was clicked first
                    classical = self._classical_mask(scene.small)
                prompts = proposals(classical, scene.width, scene.height)
            spans.append((len(asked), len(asked) + len(prompts), classical))
            asked += [replace(question, embedding=scene.photo, prompt=item) for item in prompts]
        answers = self._model.decode(asked)
        return [
            answers[begin] if classical is None else _chosen(answers[begin:end], classical)
            for begin, end, classical in spans
        ]

    def _classical_mask(self, small: UInt8Array) -> FloatArray:
        view = self._classical.prepare(small)
        return self._classical.decode([Question(view, Prompt())])[0].mask


def proposals(classical: FloatArray, width: int, height: int) -> list[Prompt]:
    """Where to ask, in a photo's pixels: the classical (h, w) mask's box and middle, and a grid."""
    found = []
    solid = classical > 0.5
    if solid.any():
        across, down = width / classical.shape[1], height / classical.shape[0]
        x1, y1, x2, y2 = bounds(solid)
        box = (x1 * across, y1 * down, min(x2 * across, width), min(y2 * down, height))
        # Zeros around, so that the deepest point is deep from the photo's sides too.
        depth = cv2.distanceTransform(np.pad(solid.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        point = ((float(column) + 0.5) * across, (float(row) + 0.5) * down)
        found = [Prompt(box=box), Prompt(points=(point,)), Prompt(points=(point,), box=box)]
    places = [(index + 0.5) / GRID for index in range(GRID)]
    grid = [Prompt(points=((x * width, y * height),)) for y in places for x in places]
    return found + grid


def verdict(
    masks: Sequence[BoolArray], qualities: Sequence[float], classical: BoolArray
) -> Verdict:
    """Choose among candidate masks, each (h, w), all of one shape with the classical one.

    The score is `quality × plausibility × (0.4 + 0.3 · support + 0.3 · IoU with the classical
    mask)`: quality is predicted IoU × stability; plausibility doubts a mask that is tiny, fills
    the photo or runs along three of its sides; support is the share of proposals, wherever they
    asked, that were answered with the same mask.
    """
    ious = np.array([[_alike(one, other) for other in masks] for one in masks])
    support = (ious >= _SAME).mean(axis=1)
    alike = np.array([_alike(mask, classical) for mask in masks])
    plausible = np.array([_plausibility(mask) for mask in masks])
    scores = np.asarray(qualities) * plausible * (0.4 + 0.3 * support + 0.3 * alike)
    best = int(scores.argmax())
    rivals = scores[ious[best] < _OTHER]
    doubts = {
        "low_confidence": scores[best] < UNSURE,
        "several_subjects": bool(len(rivals)) and rivals.max() >= RIVAL * scores[best],
        "tiny": masks[best].mean() < _TINY,
        "fills_frame": masks[best].mean() > _FULL,
        "no_subject": not masks[best].any(),
    }
    named = tuple(name for name, doubtful in doubts.items() if doubtful)
    return Verdict(best, float(scores[best]), named)


def _chosen(answers: Sequence[Prediction], classical: FloatArray) -> Prediction:
    height, width = answers[0].mask.shape
    shrink = min(1.0, _COMPARED / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))

    def small(mask: FloatArray) -> BoolArray:
        found: BoolArray = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0.5
        return found

    masks = [small(answer.mask) for answer in answers]
    qualities = [answer.scores[0] * answer.stability[0] for answer in answers]
    found = verdict(masks, qualities, small(classical))
    return replace(answers[found.index], reasons=found.reasons)


def _plausibility(mask: BoolArray) -> float:
    share = float(mask.mean())
    sides = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    along = sum(bool(side.mean() > 0.5) for side in sides)
    return 1.0 if _TINY <= share <= _FULL and along < 3 else _UNLIKELY


def _alike(one: BoolArray, other: BoolArray) -> float:
    """IoU, but an empty mask is like nothing, not even like another empty one."""
    return iou(one, other) if one.any() else 0.0


def _reduced(image: UInt8Array) -> UInt8Array:
    """The photo at the size that the classical cut is finished at, or its own if that is less."""
    shrink = min(1.0, FINE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
