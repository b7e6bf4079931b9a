"""Clicks: what they protect in a mask, and what they restore in an alpha."""

from __future__ import annotations

import cv2

from shared.arrays import FloatArray, UInt8Array
from shared.schema import Prompt
from worker.matting.cleaning import cleaned
from worker.matting.solid import HALF, MIDDLE

#: Radius of the disc around a click that is restored, as a share of the photo's short side.
_CLICK = 0.012


def clean_mask(mask: FloatArray, prompt: Prompt, size: tuple[int, int]) -> FloatArray:
    """The mask without specks and pinholes; an island or a hole with a click on it stays.

    Args:
        mask: (h, w) float32 in 0..1, at any size.
        prompt: its clicks, in the photo's pixels.
        size: the photo's (width, height).
    """
    height, width = mask.shape
    spots: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    for (x, y), sign in zip(prompt.points, prompt.signs, strict=True):
        column, row = int(x * width / size[0]), int(y * height / size[1])
        spots[sign].append((min(column, width - 1), min(row, height - 1)))
    return cleaned(mask, spots[1], spots[0])


def obey(alpha: UInt8Array, mask: FloatArray, prompt: Prompt) -> UInt8Array:
    """The (H, W) uint8 alpha, with a disc restored at each click that edge refinement lost.

    A click on something coloured like the other side is a small island in the mask, and refinement
    along the photo's edges may remove it as an error. The disc is drawn only where the (h, w) mask
    agrees with the click. Returns `alpha` itself when no click was lost.
    """
    height, width = alpha.shape
    radius = max(1, round(_CLICK * min(height, width)))
    result = alpha
    for (x, y), sign in zip(prompt.points, prompt.signs, strict=True):
        column, row = int(x), int(y)
        masked = mask[int(y * mask.shape[0] / height), int(x * mask.shape[1] / width)] > HALF
        lost = (result[row, column] > MIDDLE) != bool(sign)
        if lost and masked == bool(sign):
            if result is alpha:
                result = alpha.copy()
            cv2.circle(result, (column, row), radius, 255 * sign, -1, cv2.LINE_AA)
            result[row, column] = 255 * sign
    return result
