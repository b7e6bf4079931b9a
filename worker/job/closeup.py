"""A second look at a small subject, enlarged, with the first mask as its prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from shared.arrays import FloatArray
from shared.schema import Prompt
from worker.matting.solid import Box, box_of, solid_mask
from worker.segmenters.masks import iou

#: Margin around the subject, as a share of its longer side: the model needs to see the background.
_AROUND = 0.35
#: Least side of a close-up, in pixels: a smaller one shows no more detail.
_LEAST = 64
#: Largest close-up, as a share of the photo: a larger one shows little more than the photo does.
_WIDEST = 0.6
#: IoU with the first mask from which the second counts as the same subject.
_SAME = 0.6


@dataclass(frozen=True, slots=True)
class Closeup:
    """A part of a photo, and what to ask about it.

    Attributes:
        box: `[x1, y1, x2, y2]` of the photo.
        prompt: what to ask, in the part's own pixels.
        prior: (h, w) float32 in 0..1, the part of the first mask, at its own size.
    """

    box: Box
    prompt: Prompt
    prior: FloatArray

    @classmethod
    def of(
        cls, mask: FloatArray, prompt: Prompt, size: tuple[int, int], below: float
    ) -> Self | None:
        """The close-up of a subject whose box is smaller than `below` of the photo; else None.

        Args:
            mask: (h, w) float32 in 0..1, the first answer, of the whole photo.
            prompt: in the photo's pixels.
            size: the photo's (width, height).
            below: share of the photo; 0 for never.
        """
        subject = _subject_box(mask, size)
        if subject is None or _area(subject) >= below * size[0] * size[1]:
            return None
        box = _window(subject, prompt, size)
        if _area(box) > _WIDEST * size[0] * size[1] or min(_sides(box)) < _LEAST:
            return None
        return cls(box, _moved(prompt, subject, box), _part(mask, box, size))

    def key(self, digest: str) -> str:
        """The cache key of its embedding, different from the photo's own."""
        return "{}:{},{},{},{}".format(digest, *self.box)

    def confirms(self, mask: FloatArray) -> bool:
        """Whether an (h, w) mask of the part shows the same subject as the first mask."""
        prior = cv2.resize(self.prior, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
        first, second = solid_mask(np.asarray(prior, np.float32)), solid_mask(mask)
        return bool(second.any()) and iou(first, second) >= _SAME


def _subject_box(mask: FloatArray, size: tuple[int, int]) -> Box | None:
    """The subject's box in the photo's pixels, of a mask at its own size; None if it is empty."""
    box = box_of(solid_mask(mask).astype(np.uint8))
    if box is None:
        return None
    across, down = size[0] / mask.shape[1], size[1] / mask.shape[0]
    x1, y1, x2, y2 = box
    return (
        int(x1 * across),
        int(y1 * down),
        min(size[0], round(x2 * across)),
        min(size[1], round(y2 * down)),
    )


def _window(subject: Box, prompt: Prompt, size: tuple[int, int]) -> Box:
    """The close-up's box: around the subject, the prompt's box and its clicks on the subject."""
    clicks = [p for p, sign in zip(prompt.points, prompt.signs, strict=True) if sign == 1]
    corners = [] if prompt.box is None else [prompt.box[:2], prompt.box[2:]]
    xs = [subject[0], subject[2], *(int(x) for x, _ in (*clicks, *corners))]
    ys = [subject[1], subject[3], *(int(y) for _, y in (*clicks, *corners))]
    around = round(_AROUND * max(_sides(subject)))
    return (
        max(0, min(xs) - around),
        max(0, min(ys) - around),
        min(size[0], max(xs) + around),
        min(size[1], max(ys) + around),
    )


def _moved(prompt: Prompt, subject: Box, box: Box) -> Prompt:
    """The prompt in the part's pixels, without the clicks outside it.

    When it has no box and no click on the subject is left, it asks for the subject's box. `mask` is
    left out because the first mask is passed as the prior.
    """
    left, top, right, bottom = box
    inside = [
        ((x - left, y - top), sign)
        for (x, y), sign in zip(prompt.points, prompt.signs, strict=True)
        if left <= x < right and top <= y < bottom
    ]
    around = prompt.box
    if around is None and not any(sign == 1 for _, sign in inside):
        around = subject
    if around is not None:
        x1, y1, x2, y2 = around
        around = (x1 - left, y1 - top, x2 - left, y2 - top)
    return Prompt(
        points=tuple(point for point, _ in inside),
        labels=tuple(1 if sign else 0 for _, sign in inside),
        box=around,
    )


def _part(mask: FloatArray, box: Box, size: tuple[int, int]) -> FloatArray:
    """The part of a photo's (h, w) mask inside the box, at the mask's own resolution."""
    down, across = mask.shape[0] / size[1], mask.shape[1] / size[0]
    x1, y1, x2, y2 = box
    part = mask[
        int(y1 * down) : max(int(y1 * down) + 1, round(y2 * down)),
        int(x1 * across) : max(int(x1 * across) + 1, round(x2 * across)),
    ]
    return np.ascontiguousarray(part)


def _sides(box: Box) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
