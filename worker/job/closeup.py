"""A second look: a small subject seen larger, with the first mask as its prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from shared.arrays import FloatArray, UInt8Array
from shared.images.photo import Photo
from shared.schema import Prompt
from worker.framing.layout import Box

#: Kept around the subject, as a share of its longer side: what it is told from must be seen.
_AROUND = 0.35
#: Least side of a close-up, in pixels: below it nothing is seen better.
_LEAST = 64
#: A close-up of more than this share of the photo shows little more than the photo.
_WIDEST = 0.6
#: A second mask is taken where it means what the first did: from this IoU on.
_SAME = 0.6


@dataclass(frozen=True, slots=True)
class Closeup:
    """A part of a photo, and what to ask of it.

    Attributes:
        box: `[x1, y1, x2, y2]` of the photo.
        prompt: in the part's own pixels.
        prior: (h, w) float32 in 0..1, the part of the first mask, at its own size.
    """

    box: Box
    prompt: Prompt
    prior: FloatArray

    @classmethod
    def of(
        cls, mask: FloatArray, prompt: Prompt, size: tuple[int, int], below: float
    ) -> Self | None:
        """The close-up of a subject whose box is less than `below` of the photo; else None.

        Args:
            mask: (h, w) float32 in 0..1, the first answer, of the whole photo.
            prompt: in the photo's pixels.
            size: the photo's (width, height).
            below: share of the photo; 0 for never.
        """
        subject = _box_of(mask, size)
        if subject is None or _area(subject) >= below * size[0] * size[1]:
            return None
        box = _window(subject, prompt, size)
        if _area(box) > _WIDEST * size[0] * size[1] or min(_sides(box)) < _LEAST:
            return None
        return cls(box, _moved(prompt, subject, box), _part(mask, box, size))

    def part_of(self, photo: Photo) -> Photo:
        """What it shows, opaque: the photo's own alpha is for the whole cut to honour."""
        return Photo(np.ascontiguousarray(photo.rgb[self._place]))

    def key(self, digest: str) -> str:
        """What its embedding is kept under, beside the photo's own."""
        return "{}:{},{},{},{}".format(digest, *self.box)

    def confirms(self, mask: FloatArray) -> bool:
        """Whether a (h, w) mask of the part means what the first mask did."""
        first = cv2.resize(self.prior, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
        second = mask > 0.5
        union = int((first | second).sum())
        return bool(union) and int((first & second).sum()) >= _SAME * union

    def pasted(self, alpha: UInt8Array, size: tuple[int, int]) -> UInt8Array:
        """The part's (h, w) uint8 alpha in one of the photo's (width, height), 0 around it."""
        whole = np.zeros(size[::-1], np.uint8)
        whole[self._place] = alpha
        return whole

    @property
    def _place(self) -> tuple[slice, slice]:
        x1, y1, x2, y2 = self.box
        return slice(y1, y2), slice(x1, x2)


def _box_of(mask: FloatArray, size: tuple[int, int]) -> Box | None:
    x, y, width, height = cv2.boundingRect((mask > 0.5).astype(np.uint8))
    if not width:
        return None
    across, down = size[0] / mask.shape[1], size[1] / mask.shape[0]
    return (
        int(x * across),
        int(y * down),
        min(size[0], round((x + width) * across)),
        min(size[1], round((y + height) * down)),
    )


def _window(subject: Box, prompt: Prompt, size: tuple[int, int]) -> Box:
    """Around the subject, and whatever the prompt says is part of it."""
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
    """The prompt in the part's pixels: clicks outside it go, and of none the subject's box is made.

    The first mask comes along as the prior, so `mask` is not needed.
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
    """The part of a photo's (h, w) mask, at the size at which it covers as many mask pixels."""
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
