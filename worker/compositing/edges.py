"""A coarse mask brought to the photo's own size along the photo's own edges."""

from __future__ import annotations

import cv2
import numpy as np

from shared.images.photo import FloatArray, UInt8Array

#: Regularisation, in squared intensities of 0..1: the contrast below which an edge is noise.
EPSILON = 1e-5

#: Half the filter's window, in mask pixels: 1 to 2 for masks that are right, 3 for a network's.
RADIUS = 2

#: Blur of the guide, in mask pixels. A mask is alpha, blurred; alpha is locally linear in the
#: colours; so the mask is linear in the colours blurred alike (unblurred: error × 1.2).
SOFTNESS = 0.6

# Pixels worked on at a time. Temporaries of a whole photo cost twice to seven times the time.
_TILE = 1 << 18


def refine(
    mask: FloatArray,
    rgb: UInt8Array,
    radius: int = RADIUS,
    epsilon: float = EPSILON,
    softness: float = SOFTNESS,
) -> UInt8Array:
    """The (H, W) uint8 alpha of a soft mask, by the guided filter.

    The filter's linear coefficients are fitted at the mask's size and applied to the photo at
    its own: He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, equations 19 to 21; He, Sun,
    "Fast Guided Filter", arXiv:1505.00996. Beyond the photo, memory is the result and one tile.

    Args:
        mask: (h, w) float32 in 0..1, soft: a thresholded mask loses the place of its edge.
        rgb: (H, W, 3) uint8, the photo.
        radius: half the window in mask pixels; match it to the error expected of the mask.
        epsilon: see `EPSILON`.
        softness: standard deviation of the mask's own blur, in mask pixels; 0 for none.
    """
    height, width = rgb.shape[:2]
    planes = _fit(np.asarray(mask, dtype=np.float32), rgb, radius, epsilon, softness)
    alpha = np.empty((height, width), dtype=np.uint8)
    rows = max(1, _TILE // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        alpha[top:bottom] = _apply(planes, rgb[top:bottom], top, height)
    return alpha


def _fit(
    mask: FloatArray, rgb: UInt8Array, radius: int, epsilon: float, softness: float
) -> list[FloatArray]:
    """Four (h, w) planes: three slopes and the offset, for intensities and alpha in 0..255."""
    height, width = mask.shape
    smaller = height < rgb.shape[0] or width < rgb.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    small = cv2.resize(rgb, (width, height), interpolation=how)
    guide = np.asarray(small, dtype=np.float32)
    guide /= np.float32(255.0)
    if softness > 0.0:
        guide = np.asarray(cv2.GaussianBlur(guide, (0, 0), softness), dtype=np.float32)
    window = (2 * radius + 1, 2 * radius + 1)

    def mean(values: FloatArray) -> FloatArray:
        blurred = cv2.blur(values, window, borderType=cv2.BORDER_REFLECT)
        return np.asarray(blurred, dtype=np.float32)

    channels = [np.ascontiguousarray(guide[..., index]) for index in range(3)]
    means = [mean(channel) for channel in channels]
    mean_mask = mean(mask)
    # Covariances of the channels with the mask, and with each other (the upper triangle).
    with_mask = [mean(c * mask) - m * mean_mask for c, m in zip(channels, means, strict=True)]
    rr, rg, rb, gg, gb, bb = (
        mean(channels[i] * channels[j]) - means[i] * means[j] + (epsilon if i == j else 0.0)
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    # The inverse of a symmetric 3 × 3 matrix by its cofactors.
    c_rr, c_rg, c_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = np.maximum(rr * c_rr + rg * c_rg + rb * c_rb, np.float32(epsilon**3))
    r, g, b = (covariance / determinant for covariance in with_mask)
    slopes = [
        c_rr * r + c_rg * g + c_rb * b,
        c_rg * r + c_gg * g + c_gb * b,
        c_rb * r + c_gb * g + c_bb * b,
    ]
    offset = mean_mask.copy()
    for slope, level in zip(slopes, means, strict=True):
        offset -= slope * level
    # Alpha of 0..255 from intensities of 0..255: the slopes stay, the offset grows.
    planes = [mean(np.asarray(plane, dtype=np.float32)) for plane in (*slopes, offset)]
    planes[3] *= np.float32(255.0)
    return planes


def _apply(planes: list[FloatArray], rgb: UInt8Array, top: int, height: int) -> UInt8Array:
    """Alpha of the rows of `rgb`, which begin at `top` of `height`."""
    count, width = rgb.shape[:2]
    rows = planes[0].shape[0]
    # Centres of pixels correspond, as in cv2.resize; between rows by hand, since a tile is a part.
    place = (np.arange(top, top + count, dtype=np.float32) + 0.5) * (rows / height) - 0.5
    place = np.clip(place, 0.0, rows - 1.0)
    above = np.minimum(place.astype(np.intp), max(0, rows - 2))
    below = np.minimum(above + 1, rows - 1)
    share = (place - above).astype(np.float32)[:, None]

    def widened(plane: FloatArray) -> FloatArray:
        narrow = plane[above] * (1.0 - share) + plane[below] * share
        wide = cv2.resize(narrow, (width, count), interpolation=cv2.INTER_LINEAR)
        return np.asarray(wide, dtype=np.float32).reshape(count, width)

    # Plane by plane: a tile of four interleaved channels is ten times slower.
    total = widened(planes[3])
    for plane, channel in zip(planes[:3], cv2.split(rgb), strict=True):
        total += widened(plane) * channel.reshape(count, width)
    total += 0.5
    np.clip(total, 0.0, 255.0, out=total)
    alpha: UInt8Array = total.astype(np.uint8)
    return alpha
