"""From the segmenter's masks to the photo's alpha: one function, one step per line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.arrays import FloatArray, UInt8Array
from shared.images.photo import Photo
from shared.schema import Output, Prompt
from worker.matting.clicks import clean_mask, obey
from worker.matting.edges import refine
from worker.matting.solid import Box


def cut_alpha(
    masks: Sequence[FloatArray],
    prompts: Sequence[Prompt],
    photo: Photo,
    output: Output,
    part: Box | None = None,
) -> UInt8Array:
    """The subject's (H, W) uint8 alpha at the photo's size; several objects become their union.

    Args:
        masks: (h, w) float32 in 0..1 each, soft, all of one shape.
        prompts: one per mask, in pixels of what the masks show.
        photo: the whole photo.
        output: its `clean` and `edge` say how to cut.
        part: the box of the photo that the masks show; None for all of it.
    """
    rgb = photo.rgb if part is None else crop(photo.rgb, part)
    if output.clean:
        masks = _clean(masks, prompts, rgb)
    mask = _unite(masks)
    alpha = refine(mask, rgb, output.edge)
    for prompt in prompts:
        alpha = obey(alpha, mask, prompt)
    if part is not None:
        alpha = paste(alpha, part, (photo.width, photo.height))
    return within(alpha, photo.alpha)


def crop(rgb: UInt8Array, part: Box) -> UInt8Array:
    """A contiguous copy of the part of an (H, W, 3) uint8 photo inside the box."""
    return np.ascontiguousarray(rgb[_slices(part)])


def paste(alpha: UInt8Array, part: Box, size: tuple[int, int]) -> UInt8Array:
    """A part's (h, w) uint8 alpha inside one of the photo's (width, height); 0 around it."""
    whole = np.zeros(size[::-1], np.uint8)
    whole[_slices(part)] = alpha
    return whole


def within(alpha: UInt8Array, own: UInt8Array | None) -> UInt8Array:
    """The found alpha, nowhere more opaque than the photo's own; both (H, W) uint8."""
    return alpha if own is None else np.minimum(alpha, own)


def _clean(
    masks: Sequence[FloatArray], prompts: Sequence[Prompt], rgb: UInt8Array
) -> list[FloatArray]:
    size = (rgb.shape[1], rgb.shape[0])
    return [clean_mask(mask, prompt, size) for mask, prompt in zip(masks, prompts, strict=True)]


def _unite(masks: Sequence[FloatArray]) -> FloatArray:
    return np.asarray(np.maximum.reduce(masks), np.float32)


def _slices(part: Box) -> tuple[slice, slice]:
    x1, y1, x2, y2 = part
    return slice(y1, y2), slice(x1, x2)
