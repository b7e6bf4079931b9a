"""The subject's own colour in the edge band, where a photo's pixels are half background.

A pixel there is `alpha·F + (1 - alpha)·B`. F and B are guessed from pixels that are nearly pure,
by a pyramid that reaches as far as it must, and then corrected so that they explain the pixel:
Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021, with a pyramid for its blurs.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.arrays import FloatArray, UInt8Array
from worker.matting.planes import larger, smaller

#: How often alpha is squared to give a pixel's weight, per pass. The first pass must ignore pixels
#: that are half background; later passes have had most of the background removed.
_SQUARINGS = (3, 2, 2)

#: The weight below which a level of the pyramid leaves a pixel to the next coarser one.
_ENOUGH = np.float32(0.1)

#: Least weight of a pixel, for places without any pure pixel.
_LEAST = np.float32(1e-6)

#: The estimate's size: half of the photo's, its longer side at most this.
_LONGEST = 1024

#: Margin of the photo used around the band, in pixels of the estimate.
_MARGIN = 16

#: Rows corrected at once.
_BAND = 128

#: Points sampled side by side: OpenCV takes no more than 32,767 one below the other.
_POINTS = 1024


def estimate_foreground(rgb: UInt8Array, alpha: UInt8Array) -> UInt8Array:
    """The (H, W, 3) uint8 photo with the subject's own colours where 0 < alpha < 255.

    Everywhere else it is the photo. Without any such pixel it returns `rgb` itself, not a copy.
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
    """Foreground and background, both (3, h, w) float32 in 0..255, at the estimate's size.

    Channel by channel: NumPy and OpenCV alike take half as long as over interleaved ones.
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
    """The nearest two colours that mix to the photo's own: the projection on that line."""
    rest = 1 - share
    step = photo - share * foreground - rest * background
    step *= 1 / (share * share + rest * rest)
    return np.clip(foreground + share * step, 0, 255), np.clip(background + rest * step, 0, 255)


def _spread(colour: FloatArray, weight: FloatArray) -> FloatArray:
    """(3, h, w) float32: the weighted colours near every pixel, as near as there are any."""
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
    """Write the foreground into `rgb` wherever `band`, so that it explains the pixel there."""
    height, width = alpha.shape
    colours = [np.ascontiguousarray(colour.transpose(1, 2, 0)) for colour in both]
    rows, columns = colours[0].shape[:2]
    for top in range(0, height, _BAND):
        y, x = np.nonzero(band[top : top + _BAND])
        if not len(y):
            continue
        y += top
        # Centres of pixels correspond, as in cv2.resize.
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
    """(n, 3) float32: an (h, w, 3) image at n points, bilinearly."""
    shape = (-(-len(x) // _POINTS), _POINTS)
    across, down = (np.resize(place.astype(np.float32), shape) for place in (x, y))
    found = cv2.remap(colour, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32).reshape(-1, 3)[: len(x)]
