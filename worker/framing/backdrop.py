"""The image behind a subject."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import UInt8Array
from shared.images.photo import Photo
from worker.framing.cutout import over

_WHITE = np.full(3, 255, np.uint8)


def covering(backdrop: Photo, canvas: tuple[int, int]) -> UInt8Array:
    """(h, w, 3) uint8: the middle of an image, scaled to fill a canvas of (width, height).

    Transparent parts of the image lie on white.
    """
    factor = max(canvas[0] / backdrop.width, canvas[1] / backdrop.height)
    width = min(backdrop.width, max(1, round(canvas[0] / factor)))
    height = min(backdrop.height, max(1, round(canvas[1] / factor)))
    left, top = (backdrop.width - width) // 2, (backdrop.height - height) // 2
    middle = (slice(top, top + height), slice(left, left + width))
    rgb = backdrop.rgb[middle]
    if backdrop.alpha is not None:
        rgb = over(rgb, backdrop.alpha[middle], _WHITE)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, canvas, interpolation=how), np.uint8)
