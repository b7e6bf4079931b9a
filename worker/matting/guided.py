"""Fits alpha as a locally linear function of colour at a small size; applies it at full size.

The fit follows He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, equations 19 to 21. Fitting
at one size and applying at another follows He, Sun, "Fast Guided Filter", arXiv:1505.00996.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from shared.arrays import FloatArray, UInt8Array
from worker.matting.planes import larger

# Pixels processed per tile. Temporary arrays of a whole photo take two to seven times as long.
_TILE = 1 << 18


@dataclass(frozen=True, slots=True)
class LocalLinear:
    """`alpha = red·R + green·G + blue·B + offset`, with its own coefficients at every pixel.

    Attributes:
        planes: red, green, blue and offset, each (h, w) float32, for colours as returned by
            `guide_of` and alpha in 0..1.
    """

    planes: tuple[FloatArray, FloatArray, FloatArray, FloatArray]

    def at(self, guide: FloatArray) -> FloatArray:
        """Alpha, (h, w) float32 in 0..1, for a guide of the same size as the planes."""
        alpha = self.planes[3].copy()
        for plane, channel in zip(self.planes[:3], cv2.split(guide), strict=True):
            alpha += plane * channel.reshape(plane.shape)
        return np.clip(alpha, 0.0, 1.0, out=alpha)

    def towards(self, other: Self, share: FloatArray | float) -> LocalLinear:
        """Mix in `share` of the other model, a number or (h, w) float32 in 0..1."""
        mixed = [
            mine + np.float32(share) * (theirs - mine)
            for mine, theirs in zip(self.planes, other.planes, strict=True)
        ]
        return _planes(mixed)

    def fixed(self, alpha: FloatArray, where: FloatArray) -> LocalLinear:
        """A copy with constant `alpha` wherever `where` is not 0; both are (h, w)."""
        free = (where == 0).astype(np.float32)
        slopes = [plane * free for plane in self.planes[:3]]
        return _planes([*slopes, np.where(free > 0, self.planes[3], alpha)])

    def resized(self, width: int, height: int) -> LocalLinear:
        """A copy resampled to another grid size over the same photo."""
        return _planes([larger(plane, height, width) for plane in self.planes])

    def applied(self, rgb: UInt8Array, haze: float = 0.0) -> UInt8Array:
        """The (H, W) uint8 alpha of a photo; uses memory for the result and one tile only.

        Args:
            rgb: (H, W, 3) uint8.
            haze: alpha within this distance of 0 becomes 0, and within it of 1 becomes 1. Up to
                twice this distance, alpha is moved towards 0 or 1.
        """
        height, width = rgb.shape[:2]
        alpha = np.empty((height, width), dtype=np.uint8)
        # Here alpha and intensities are in 0..255: the slopes stay the same, the offset changes.
        offset = self.planes[3].copy()
        for slope in self.planes[:3]:
            offset -= np.float32(0.5) * slope
        offset *= np.float32(255.0)
        planes = (*self.planes[:3], offset)
        curve = _curve(haze)
        rows = max(1, _TILE // width)
        for top in range(0, height, rows):
            tile = _apply(planes, rgb[top : min(top + rows, height)], top, height)
            alpha[top : top + rows] = cv2.LUT(tile, curve).reshape(tile.shape)
        return alpha


def guide_of(rgb: UInt8Array, width: int, height: int, blur: float = 0.0) -> FloatArray:
    """The photo as (height, width, 3) float32 in -0.5..0.5, centred to keep squares small.

    Args:
        rgb: (H, W, 3) uint8.
        width: width of the guide.
        height: height of the guide.
        blur: standard deviation of a Gaussian blur, in pixels of the guide; 0 for none.
    """
    smaller = height < rgb.shape[0] or width < rgb.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    small = cv2.resize(rgb, (width, height), interpolation=how)
    guide = np.asarray(small, dtype=np.float32).reshape(height, width, 3)
    guide *= np.float32(1 / 255)
    guide -= np.float32(0.5)
    return blurred(guide, blur)


def blurred(values: FloatArray, deviation: float) -> FloatArray:
    """Blur (h, w) or (h, w, 3) float32 values with a Gaussian; a deviation of 0 does nothing."""
    if deviation <= 0.0:
        return values
    smooth = cv2.GaussianBlur(values, (0, 0), deviation, borderType=cv2.BORDER_REFLECT)
    return np.asarray(smooth, dtype=np.float32).reshape(values.shape)


def fit(
    target: FloatArray,
    guide: FloatArray,
    radius: int,
    epsilon: float,
    weights: FloatArray | None = None,
) -> LocalLinear:
    """Regress `target` on the guide in a window around every pixel; average overlapping windows.

    Args:
        target: (h, w) float32.
        guide: (h, w, 3) float32, from `guide_of`.
        radius: half the width of the window, in pixels.
        epsilon: regularisation in squared intensities; edges of less contrast count as noise.
        weights: (h, w) float32 above 0, the weight of each pixel; None for equal weights.
    """
    window = (2 * radius + 1, 2 * radius + 1)

    def box(values: FloatArray) -> FloatArray:
        mean = cv2.blur(values, window, borderType=cv2.BORDER_REFLECT)
        return np.asarray(mean, dtype=np.float32).reshape(values.shape)

    def mean(values: FloatArray) -> FloatArray:
        return box(values) if weights is None else box(weights * values) / believed

    believed = np.float32(1) if weights is None else box(weights)
    channels = [np.ascontiguousarray(guide[..., index]) for index in range(3)]
    means = [mean(channel) for channel in channels]
    mean_target = mean(target)
    # Covariances of the channels with the target and with each other (upper triangle).
    with_target = [mean(c * target) - m * mean_target for c, m in zip(channels, means, strict=True)]
    rr, rg, rb, gg, gb, bb = (
        mean(channels[i] * channels[j]) - means[i] * means[j] + np.float32(epsilon * (i == j))
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    slopes = _solved((rr, rg, rb, gg, gb, bb), with_target, epsilon)
    offset = mean_target.copy()
    for slope, level in zip(slopes, means, strict=True):
        offset -= slope * level
    return _planes([box(plane) for plane in (*slopes, offset)])


def _solved(
    matrix: tuple[FloatArray, ...], right: list[FloatArray], least: float
) -> list[FloatArray]:
    """Solve the symmetric 3 × 3 system of every pixel; returns three (h, w) planes.

    Uses the L·D·Lᵀ factorisation (Golub, Van Loan, "Matrix Computations", 4.1). In a window of two
    colours the matrix is nearly singular, so that its cofactors would be only rounding errors.

    Args:
        matrix: the upper triangle, row by row; six (h, w) planes.
        right: the right-hand side; three (h, w) planes.
        least: the lower bound of the pivots: the value that was added to the diagonal.
    """
    rr, rg, rb, gg, gb, bb = matrix
    green, blue = rg / rr, rb / rr
    second = np.maximum(gg - green * rg, np.float32(least))
    mixed = gb - blue * rg
    both = mixed / second
    third = np.maximum(bb - blue * rb - both * mixed, np.float32(least))
    first = right[0]
    after = right[1] - green * first
    z = (right[2] - blue * first - both * after) / third
    y = after / second - both * z
    x = first / rr - green * y - blue * z
    return [np.asarray(slope, np.float32) for slope in (x, y, z)]


def _planes(planes: list[FloatArray]) -> LocalLinear:
    red, green, blue, offset = (np.asarray(plane, dtype=np.float32) for plane in planes)
    return LocalLinear((red, green, blue, offset))


def _curve(haze: float) -> UInt8Array:
    """Lookup table, (256,) uint8, that removes haze near 0 and 255 and keeps values between."""
    alpha = np.arange(256) / 255
    low = np.clip(2 * (alpha - haze), 0, alpha)
    high = 1 - np.clip(2 * (1 - alpha - haze), 0, 1 - alpha)
    curve: UInt8Array = np.rint(255 * np.where(alpha < 0.5, low, high)).astype(np.uint8)
    return curve


def _enlarged_rows(plane: FloatArray, top: int, count: int, size: tuple[int, int]) -> FloatArray:
    """Rows `top` to `top + count` of an (h, w) plane enlarged bilinearly to `size`, (H, W)."""
    height, width = size
    rows = plane.shape[0]
    # Pixel centres correspond, as in cv2.resize, which cannot compute only some of the rows.
    place = (np.arange(top, top + count, dtype=np.float32) + 0.5) * (rows / height) - 0.5
    place = np.clip(place, 0.0, rows - 1.0)
    above = np.minimum(place.astype(np.intp), max(0, rows - 2))
    below = np.minimum(above + 1, rows - 1)
    share = (place - above).astype(np.float32).reshape(-1, 1)
    narrow = plane[above] * (1.0 - share) + plane[below] * share
    return larger(narrow, count, width)


def _apply(planes: tuple[FloatArray, ...], rgb: UInt8Array, top: int, height: int) -> UInt8Array:
    """Alpha of the rows of `rgb`, which start at row `top` of a photo `height` rows high."""
    count, width = rgb.shape[:2]
    # One plane at a time: a tile of four interleaved channels is ten times slower.
    total = _enlarged_rows(planes[3], top, count, (height, width))
    for plane, channel in zip(planes[:3], cv2.split(rgb), strict=True):
        total += _enlarged_rows(plane, top, count, (height, width)) * channel.reshape(count, width)
    total += 0.5
    np.clip(total, 0.0, 255.0, out=total)
    alpha: UInt8Array = total.astype(np.uint8)
    return alpha
