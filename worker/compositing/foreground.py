"""The subject's own colour in the edge band, where a photo's pixels are half background.

A pixel there is `alpha·F + (1 - alpha)·B`. F and B are guessed from pixels that are nearly pure,
by a pyramid that reaches as far as it must, and then corrected so that they explain the pixel:
Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021, with a pyramid for its blurs.
"""

from __future__ import annotations

import cv2
import numpy as np

from shared.images.photo import FloatArray, UInt8Array
from worker.compositing.guided import enlarged_rows

#: How often alpha is squared to say how much a pixel's colour counts, pass by pass: the first must
#: not take in what is half background; the later ones have had most of it taken out.
_SQUARINGS = (3, 2, 2)

#: The weight below which a level of the pyramid leaves a pixel to the next coarser one.
_ENOUGH = np.float32(0.1)

#: What every pixel weighs at least, for where none is pure.
_LEAST = np.float32(1e-6)

#: The estimate's size: half of the photo's, its longer side at most this.
_LONGEST = 1024

#: What of the photo is looked at round the band, in pixels of the estimate.
_MARGIN = 16

#: Rows corrected at once.
_BAND = 128


def estimate_foreground(rgb: UInt8Array, alpha: UInt8Array) -> UInt8Array:
    """The (H, W, 3) uint8 photo with the subject's own colours where 0 < alpha < 255.

    Everywhere else it is the photo. Where there is no such pixel it is `rgb` itself, no copy.
    Beyond the result, memory is bounded however large the photo.

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
    """Foreground and background, both (h, w, 3) float32 in 0..255, at the estimate's size."""
    height, width = alpha.shape
    scale = min(0.5, _LONGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    photo = np.asarray(small, np.float32).reshape(size[1], size[0], 3)
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
    part = share[..., None]
    rest = 1 - part
    step = (photo - part * foreground - rest * background) / (part * part + rest * rest)
    return np.clip(foreground + part * step, 0, 255), np.clip(background + rest * step, 0, 255)


def _spread(colour: FloatArray, weight: FloatArray) -> FloatArray:
    """(h, w, 3) float32: the weighted colours near every pixel, as near as there are any."""
    levels = [(colour * weight[..., None], weight)]
    while max(levels[-1][1].shape) > 1:
        total, weight = levels[-1]
        levels.append((_halved(total), _halved(weight)))
    total, weight = levels.pop()
    found = total / weight[..., None]
    for total, weight in reversed(levels):
        height, width = weight.shape
        coarse = cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)
        found = total + _ENOUGH * np.asarray(coarse, np.float32).reshape(height, width, 3)
        found /= (weight + _ENOUGH)[..., None]
    return np.asarray(found, np.float32)


def _halved(values: FloatArray) -> FloatArray:
    height, width = values.shape[:2]
    size = ((width + 1) // 2, (height + 1) // 2)
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(size[1], size[0], *values.shape[2:])


def _correct(
    rgb: UInt8Array, alpha: UInt8Array, band: UInt8Array, both: tuple[FloatArray, FloatArray]
) -> None:
    """Write the foreground into `rgb` wherever `band`, so that it explains the pixel there."""
    height = alpha.shape[0]
    for top in range(0, height, _BAND):
        rows = slice(top, min(top + _BAND, height))
        where = np.nonzero(band[rows])
        if not len(where[0]):
            continue
        count = rows.stop - top
        foreground, background = (
            enlarged_rows(colour, top, count, alpha.shape)[where] for colour in both
        )
        part = alpha[rows][where].astype(np.float32)[:, None] / np.float32(255)
        unexplained = rgb[rows][where] - part * foreground - (1 - part) * background
        found = foreground + part * unexplained
        rgb[rows][where] = np.clip(found + np.float32(0.5), 0, 255).astype(np.uint8)
