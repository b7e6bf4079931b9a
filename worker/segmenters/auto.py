"""Finds the subject of a photo without a prompt: propose prompts, ask the model, select a mask.

A promptable model segments whatever it is pointed at, so it has to be pointed at the subject. The
classical cut proposes what it found itself (its box, its deepest point, and both), and a coarse
grid of points covers the rest of the photo. `select`, a pure function of masks and scores, then
picks one of the model's masks.
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

#: Points per side of the grid.
GRID = 4
#: Longest side of the masks when they are compared, in pixels.
_COMPARED = 128
#: Masks with at least the first IoU show the same object; below the second, different objects.
_SAME, _OTHER = 0.7, 0.3
#: A subject is expected to cover between these fractions of the photo.
_TINY, _FULL = 0.005, 0.85
#: Plausibility of a mask of unlikely size, or along three sides of the photo; others have 1.
_UNLIKELY = 0.3
#: A person should look if the score is below the first, or if the score of a mask of another
#: object is at least the second times the best one.
UNSURE, RIVAL = 0.5, 0.9


@dataclass(frozen=True, slots=True)
class Scene:
    """A photo in the model's form, and a small copy for the classical cut.

    Attributes:
        photo: prepared for the model, or its embedding.
        small: (h, w, 3) uint8 RGB.
        classical: (h, w) float32 mask, the classical cut without a prompt; None if the photo was
            prepared for a prompt.
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
        """Bytes held, of an encoded photo."""
        own = 0 if self.classical is None else self.classical.nbytes
        return int(self.photo.nbytes) + self.small.nbytes + own


@dataclass(frozen=True, slots=True)
class Selection:
    """The index of the chosen mask, its score, and the reasons why a person should look at it."""

    index: int
    score: float
    reasons: tuple[str, ...]


class AutoSegmenter:
    """Adds segmentation without a prompt to a promptable model whose predictions have stability."""

    def __init__(self, model: Segmenter) -> None:
        self._model = model
        self._classical = GrabCutSegmenter()
        self.name = model.name
        self.device = model.device
        self.max_batch = model.max_batch

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> Scene:
        """Prepare a photo; with `auto` also make the classical cut, off the device's thread."""
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
        """Answer all questions in one call to the model, proposals included."""
        asked: list[Question] = []
        spans: list[tuple[int, int, FloatArray | None]] = []
        for question in questions:
            scene: Scene = question.embedding
            prompts, classical = [question.prompt], None
            if question.prompt.is_auto:
                classical = scene.classical
                if classical is None:  # the photo was prepared for a click
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
    """Prompts in the photo's pixels: from the (h, w) classical mask, and a grid of points."""
    found = []
    solid = classical > 0.5
    if solid.any():
        across, down = width / classical.shape[1], height / classical.shape[0]
        x1, y1, x2, y2 = bounds(solid)
        box = (x1 * across, y1 * down, min(x2 * across, width), min(y2 * down, height))
        # Padded with zeros, so that the depth is measured from the photo's sides too.
        depth = cv2.distanceTransform(np.pad(solid.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        point = ((float(column) + 0.5) * across, (float(row) + 0.5) * down)
        found = [Prompt(box=box), Prompt(points=(point,)), Prompt(points=(point,), box=box)]
    places = [(index + 0.5) / GRID for index in range(GRID)]
    grid = [Prompt(points=((x * width, y * height),)) for y in places for x in places]
    return found + grid


def select(
    masks: Sequence[BoolArray], qualities: Sequence[float], classical: BoolArray
) -> Selection:
    """Select one of several (h, w) masks, all of the classical mask's shape.

    The score is `quality × plausibility × (0.4 + 0.3 · support + 0.3 · IoU with the classical
    mask)`. Quality is predicted IoU × stability. Plausibility is low for a mask that is tiny, fills
    the photo or runs along three of its sides. Support is the fraction of all proposals that the
    model answered with the same mask.
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
    return Selection(best, float(scores[best]), named)


def _chosen(answers: Sequence[Prediction], classical: FloatArray) -> Prediction:
    height, width = answers[0].mask.shape
    shrink = min(1.0, _COMPARED / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))

    def small(mask: FloatArray) -> BoolArray:
        found: BoolArray = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0.5
        return found

    masks = [small(answer.mask) for answer in answers]
    qualities = [answer.scores[0] * answer.stability[0] for answer in answers]
    found = select(masks, qualities, small(classical))
    return replace(answers[found.index], reasons=found.reasons)


def _plausibility(mask: BoolArray) -> float:
    share = float(mask.mean())
    sides = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    along = sum(bool(side.mean() > 0.5) for side in sides)
    return 1.0 if _TINY <= share <= _FULL and along < 3 else _UNLIKELY


def _alike(one: BoolArray, other: BoolArray) -> float:
    """IoU, but 0 for two empty masks: an empty mask supports no other."""
    return iou(one, other) if one.any() else 0.0


def _reduced(image: UInt8Array) -> UInt8Array:
    """The photo reduced to the size at which the classical cut is finished; never enlarged."""
    shrink = min(1.0, FINE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
