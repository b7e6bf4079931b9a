"""A photo and its alpha brought onto a canvas, resampled at most once."""

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
    """A part of a photo, and the part of a canvas that it fills.

    Attributes:
        source: `[x1, y1, x2, y2]` of the photo, between pixels too.
        target: `[x1, y1, x2, y2]` of the canvas.
    """

    source: tuple[float, float, float, float]
    target: Box


def place(rgb: UInt8Array, alpha: UInt8Array, layout: Layout) -> tuple[UInt8Array, UInt8Array]:
    """The canvas's colours, straight and 0 where nothing shows, and its alpha.

    Takes time and memory for what is seen of the photo and for the canvas, not for the photo.

    Args:
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8.
        layout: what goes where.

    Returns:
        (h, w, 3) and (h, w) uint8 of the canvas's size; the photo itself where it is the canvas.
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
    """What shows of the photo on the canvas: the layout's box and the soft edge that leaves it.

    The box itself lies on whole pixels of both; from there the region grows by whole pixels of the
    canvas, as far as anything is visible and both have room. None: nothing is visible there.
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
    """`seen` along one axis: from and to in the photo, from and to on the canvas."""
    begin, end = layout.box[axis], layout.box[axis + 2]
    first, last = layout.place[axis], layout.place[axis + 2]
    factor = layout.factors[axis]

    def grown(wanted: float, there: float, free: int) -> int:
        """Canvas pixels beyond the box: negative where what is visible ends within it."""
        return min(math.ceil(wanted * factor), math.floor(there * factor), free)

    before = grown(begin - visible[axis], begin, first)
    after = grown(visible[axis + 2] - end, length - end, layout.canvas[axis] - last)
    if first - before >= last + after:
        return None
    source = (max(0.0, begin - before / factor), min(float(length), end + after / factor))
    return *source, first - before, last + after


def resampled(rgb: UInt8Array, alpha: UInt8Array, region: Region) -> tuple[UInt8Array, UInt8Array]:
    """The region's (h, w, 3) colours and (h, w) alpha, at the size of its target.

    By area where it is reduced, by Lanczos where it is enlarged, on colours weighted by alpha: what
    shows through nowhere must not darken the edge.
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
    # Four bands, each on its own: as RGBA, Pillow would weight them once more.
    image = Image.frombuffer("RGBX", weighted.shape[1::-1], weighted, "raw", "RGBX", 0, 1)
    scaled = image.resize(size, how, box=(x1 - left, y1 - top, x2 - left, y2 - top))
    return _straight(np.asarray(scaled, np.uint8))


def _weighted(rgb: UInt8Array, alpha: UInt8Array) -> UInt8Array:
    """(h, w, 4): colours times alpha, and alpha."""
    weighted = np.empty((*alpha.shape, 4), np.uint8)
    share = np.ascontiguousarray(alpha)
    for index, channel in enumerate(cv2.split(rgb)):
        weighted[..., index] = cv2.multiply(channel, share, scale=1 / 255)
    weighted[..., 3] = alpha
    return weighted


def _straight(weighted: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
    """Colours as they are, 0 where nothing shows, and alpha."""
    red, green, blue, alpha = cv2.split(weighted)
    colours = [cv2.divide(channel, alpha, scale=255) for channel in (red, green, blue)]
    return np.asarray(cv2.merge(colours), np.uint8), np.asarray(alpha, np.uint8)
