"""Estimates the subject's own colour along its edge, where pixels are partly background.

A pixel there is `alpha·F + (1 - alpha)·B`. F and B are first estimated from nearly pure pixels, by
an image pyramid that looks as far away as necessary, and then corrected so that they mix to the
pixel's colour. The method is Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021,
with a pyramid instead of its blurs.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.arrays import FloatArray, UInt8Array
from worker.matting.planes import larger, smaller

#: How often alpha is squared to get a pixel's weight, for each pass. The first pass must ignore
#: pixels that are half background; before later passes most of the background is removed.
_SQUARINGS = (3, 2, 2)

#: Weight of the next coarser pyramid level, which dominates where the total weight is below this.
_ENOUGH = np.float32(0.1)

#: Minimum weight of a pixel, for places without any pure pixel.
_LEAST = np.float32(1e-6)

#: Longest side of the estimate, which otherwise has half the size of the photo.
_LONGEST = 1024

#: Margin used around the edge band, in pixels of the estimate.
_MARGIN = 16

#: Rows corrected at a time.
_BAND = 128

#: Points per row when sampling: OpenCV accepts at most 32,767 rows.
_POINTS = 1024


def estimate_foreground(rgb: UInt8Array, alpha: UInt8Array) -> UInt8Array:
    """Replace colours where 0 < alpha < 255 by the subject's own, in an (H, W, 3) uint8 copy.

    All other pixels are unchanged. Without any such pixel it returns `rgb` itself, not a copy.
    Apart from the result, memory is bounded for a photo of any size.

    Args:
        rgb: (H, W, 3) uint8, the photo.
        alpha: (H, W) uint8.
    """
    band = np.asarray(cv2.inRange(alpha, 1, 254), np.uint8).reshape(alpha.shape)
    left, top, width, height = cv2.boundingRect(band)
    if width == 0:
        return rgb
    margin = max(_MARGIN * 2, _MARGIN * max(width, height) // _LONGEST)
    crop = (
        slice(max(0, top - margin), top + height + margin),
        slice(max(0, left - margin), left + width + margin),
    )
    clean = rgb.copy()
    both = _estimate(rgb[crop], alpha[crop])
    _correct(clean[crop], alpha[crop], band[crop], both)
    return clean


def _estimate(rgb: UInt8Array, alpha: UInt8Array) -> tuple[FloatArray, FloatArray]:
    """Foreground and background, both (3, h, w) float32 in 0..255, at the size of the estimate.

    The channels are kept apart because NumPy and OpenCV then take half as long as interleaved.
    """
    height, width = alpha.shape
    scale = min(0.5, _LONGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3)
    photo = np.ascontiguousarray(small.transpose(2, 0, 1), np.float32)
    share = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.float32)
    share = share.reshape(size[1], size[0]) / np.float32(255)
    foreground = background = photo
    for turn, squarings in enumerate(_SQUARINGS):
        if turn:
            foreground, background = _explaining(photo, share, foreground, background)
        foreground = _spread(foreground, _purity(share, squarings))
        background = _spread(background, _purity(1 - share, squarings))
    return foreground, background


def _purity(share: FloatArray, squarings: int) -> FloatArray:
    for _ in range(squarings):  # NumPy's power takes ten times as long
        share = share * share
    return share + _LEAST


def _explaining(
    photo: FloatArray, share: FloatArray, foreground: FloatArray, background: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Project both colours onto the nearest pair that mixes to the photo's colour."""
    rest = 1 - share
    step = photo - share * foreground - rest * background
    step *= 1 / (share * share + rest * rest)
    return np.clip(foreground + share * step, 0, 255), np.clip(background + rest * step, 0, 255)


def _spread(colour: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted mean colour around every pixel, (3, h, w) float32, from the nearest that exist."""
    levels = [(colour * weight, weight)]
    while max(levels[-1][1].shape) > 1:
        total, weight = levels[-1]
        height, width = weight.shape
        half = ((height + 1) // 2, (width + 1) // 2)
        halved = np.stack([smaller(channel, *half) for channel in total])
        levels.append((halved, smaller(weight, *half)))
    total, weight = levels.pop()
    found = total / weight
    for total, weight in reversed(levels):
        coarse = [larger(channel, *weight.shape) for channel in found]
        found = total + _ENOUGH * np.stack(coarse)
        found *= 1 / (weight + _ENOUGH)
    return found


def _correct(
    rgb: UInt8Array, alpha: UInt8Array, band: UInt8Array, both: tuple[FloatArray, FloatArray]
) -> None:
    """Write the foreground into `rgb` where `band` is set, corrected to match each pixel."""
    height, width = alpha.shape
    colours = [np.ascontiguousarray(colour.transpose(1, 2, 0)) for colour in both]
    rows, columns = colours[0].shape[:2]
    for top in range(0, height, _BAND):
        y, x = np.nonzero(band[top : top + _BAND])
        if not len(y):
            continue
        y += top
        # Pixel centres correspond, as in cv2.resize.
        across = (x + 0.5) * (columns / width) - 0.5
        down = (y + 0.5) * (rows / height) - 0.5
        foreground, background = (_sampled(colour, across, down) for colour in colours)
        part = alpha[y, x].astype(np.float32)[:, None] / np.float32(255)
        unexplained = rgb[y, x] - part * foreground - (1 - part) * background
        found = foreground + part * unexplained
        rgb[y, x] = np.clip(found + np.float32(0.5), 0, 255).astype(np.uint8)


def _sampled(
    colour: FloatArray, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Sample an (h, w, 3) image bilinearly at n points; returns (n, 3) float32."""
    shape = (-(-len(x) // _POINTS), _POINTS)
    across, down = (np.resize(place.astype(np.float32), shape) for place in (x, y))
    found = cv2.remap(colour, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32).reshape(-1, 3)[: len(x)]
