"""Places a photo and its alpha on a canvas, resampling at most once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from shared.arrays import UInt8Array
from worker.framing.layout import Layout
from worker.matting.solid import Box, box_of


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a photo and the part of the canvas that it fills.

    Attributes:
        source: `[x1, y1, x2, y2]` on the photo, in pixels; may be fractional.
        target: `[x1, y1, x2, y2]` on the canvas, in whole pixels.
    """

    source: tuple[float, float, float, float]
    target: Box


def place(rgb: UInt8Array, alpha: UInt8Array, layout: Layout) -> tuple[UInt8Array, UInt8Array]:
    """Draw the photo on the canvas: straight colours, 0 where alpha is 0, and alpha.

    Time and memory depend on the canvas and the visible part of the photo, not on the whole photo.

    Args:
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8.
        layout: which part of the photo goes where on the canvas.

    Returns:
        (h, w, 3) and (h, w) uint8 of the canvas size; `rgb` and `alpha` themselves, not copies,
        where the layout leaves the photo as it is.
    """
    if layout.is_whole:
        return rgb, alpha
    width, height = layout.canvas
    colours, shown = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    region = seen(alpha, layout)
    if region is not None:
        x1, y1, x2, y2 = region.target
        inside = (slice(y1, y2), slice(x1, x2))
        colours[inside], shown[inside] = resampled(rgb, alpha, region)
    return colours, shown


def seen(alpha: UInt8Array, layout: Layout) -> Region | None:
    """The visible part of the photo on the canvas: the layout's box and the soft edge around it.

    The box lies on whole pixels of both. From there the region grows or shrinks by whole pixels of
    the canvas, as far as anything is visible and both have room. None if nothing is visible there.
    """
    visible = box_of(alpha)
    if visible is None:
        return None
    across = _span(0, layout, visible, alpha.shape[1])
    down = _span(1, layout, visible, alpha.shape[0])
    if across is None or down is None:
        return None
    (x1, x2, left, right), (y1, y2, top, bottom) = across, down
    return Region((x1, y1, x2, y2), (left, top, right, bottom))


def _span(
    axis: int, layout: Layout, visible: Box, length: int
) -> tuple[float, float, int, int] | None:
    """`seen` along one axis: start and end on the photo, start and end on the canvas."""
    begin, end = layout.box[axis], layout.box[axis + 2]
    first, last = layout.place[axis], layout.place[axis + 2]
    factor = layout.factors[axis]

    def grown(wanted: float, there: float, free: int) -> int:
        """Canvas pixels beyond the box; negative where the visible part ends inside it."""
        return min(math.ceil(wanted * factor), math.floor(there * factor), free)

    before = grown(begin - visible[axis], begin, first)
    after = grown(visible[axis + 2] - end, length - end, layout.canvas[axis] - last)
    if first - before >= last + after:
        return None
    source = (max(0.0, begin - before / factor), min(float(length), end + after / factor))
    return *source, first - before, last + after


def resampled(rgb: UInt8Array, alpha: UInt8Array, region: Region) -> tuple[UInt8Array, UInt8Array]:
    """Resample the region to the size of its target: (h, w, 3) colours and (h, w) alpha.

    Averages areas to reduce and uses Lanczos to enlarge. Colours are weighted by alpha so that
    invisible pixels cannot change the colour of the edge.
    """
    x1, y1, x2, y2 = region.source
    size = (region.target[2] - region.target[0], region.target[3] - region.target[1])
    left, top, right, bottom = math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
    part = (slice(top, bottom), slice(left, right))
    if x2 - x1 == size[0] and y2 - y1 == size[1]:
        whole = rgb[part].copy()
        whole[alpha[part] == 0] = 0
        return whole, alpha[part]
    weighted = _weighted(rgb[part], alpha[part])
    how = Image.Resampling.BOX if size[0] <= x2 - x1 else Image.Resampling.LANCZOS
    # RGBX resamples the four bands independently; as RGBA, Pillow would apply the alpha again.
    image = Image.frombuffer("RGBX", weighted.shape[1::-1], weighted, "raw", "RGBX", 0, 1)
    scaled = image.resize(size, how, box=(x1 - left, y1 - top, x2 - left, y2 - top))
    return _straight(np.asarray(scaled, np.uint8))


def _weighted(rgb: UInt8Array, alpha: UInt8Array) -> UInt8Array:
    """Premultiply: (h, w, 4) uint8, colours times alpha, then alpha."""
    weighted = np.empty((*alpha.shape, 4), np.uint8)
    share = np.ascontiguousarray(alpha)
    for index, channel in enumerate(cv2.split(rgb)):
        weighted[..., index] = cv2.multiply(channel, share, scale=1 / 255)
    weighted[..., 3] = alpha
    return weighted


def _straight(weighted: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
    """Undo the premultiplication: straight colours, 0 where alpha is 0, and alpha."""
    red, green, blue, alpha = cv2.split(weighted)
    colours = [cv2.divide(channel, alpha, scale=255) for channel in (red, green, blue)]
    return np.asarray(cv2.merge(colours), np.uint8), np.asarray(alpha, np.uint8)
