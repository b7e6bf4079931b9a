"""Alpha as a locally linear function of the photo's colours: fitted small, applied at full size.

He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, equations 19 to 21; fitting at one size and
applying at another is He, Sun, "Fast Guided Filter", arXiv:1505.00996.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from shared.arrays import FloatArray, UInt8Array
from worker.matting.planes import larger

# Pixels worked on at a time. Temporaries of a whole photo cost twice to seven times the time.
_TILE = 1 << 18


@dataclass(frozen=True, slots=True)
class LocalLinear:
    """`alpha = red·R + green·G + blue·B + offset`, another for every point of the photo.

    Attributes:
        planes: red, green, blue and offset, each (h, w) float32, for colours as `guide` gives
            them and alpha in 0..1.
    """

    planes: tuple[FloatArray, FloatArray, FloatArray, FloatArray]

    def at(self, guide: FloatArray) -> FloatArray:
        """Alpha, (h, w) float32 in 0..1, of a guide of the planes' own size."""
        alpha = self.planes[3].copy()
        for plane, channel in zip(self.planes[:3], cv2.split(guide), strict=True):
            alpha += plane * channel.reshape(plane.shape)
        return np.clip(alpha, 0.0, 1.0, out=alpha)

    def towards(self, other: Self, share: FloatArray | float) -> LocalLinear:
        """The mixture with `share` of the other, a number or (h, w) float32 in 0..1."""
        mixed = [
            mine + np.float32(share) * (theirs - mine)
            for mine, theirs in zip(self.planes, other.planes, strict=True)
        ]
        return _planes(mixed)

    def fixed(self, alpha: FloatArray, where: FloatArray) -> LocalLinear:
        """The same with constant `alpha` wherever `where`, both (h, w), is not 0."""
        free = (where == 0).astype(np.float32)
        slopes = [plane * free for plane in self.planes[:3]]
        return _planes([*slopes, np.where(free > 0, self.planes[3], alpha)])

    def resized(self, width: int, height: int) -> LocalLinear:
        """The same on another grid over the same photo."""
        return _planes([larger(plane, height, width) for plane in self.planes])

    def applied(self, rgb: UInt8Array, haze: float = 0.0) -> UInt8Array:
        """The (H, W) uint8 alpha of a photo; memory is that and one tile.

        Args:
            rgb: (H, W, 3) uint8.
            haze: alpha that is nearer to 0 than this is 0, and as near to 1, 1; up to twice as far
                it is drawn there.
        """
        height, width = rgb.shape[:2]
        alpha = np.empty((height, width), dtype=np.uint8)
        # Alpha of 0..255 from intensities of 0..255: the slopes stay, the offset changes.
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
    """The photo as (height, width, 3) float32 in -0.5..0.5: centred, so that squares stay small.

    Args:
        rgb: (H, W, 3) uint8.
        width: of the guide.
        height: of the guide.
        blur: standard deviation of a blur, in the guide's pixels; 0 for none.
    """
    smaller = height < rgb.shape[0] or width < rgb.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    small = cv2.resize(rgb, (width, height), interpolation=how)
    guide = np.asarray(small, dtype=np.float32).reshape(height, width, 3)
    guide *= np.float32(1 / 255)
    guide -= np.float32(0.5)
    return blurred(guide, blur)


def blurred(values: FloatArray, deviation: float) -> FloatArray:
    """(h, w) or (h, w, 3) float32 under a Gaussian; 0 for none."""
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
    """The regression of `target` on the guide in the window round every pixel, and their average.

    Args:
        target: (h, w) float32.
        guide: (h, w, 3) float32, from `guide_of`.
        radius: half the window, in pixels.
        epsilon: regularisation in squared intensities: the contrast below which an edge is noise.
        weights: (h, w) float32 above 0, how much each pixel is to be believed; None: all alike.
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
    # Covariances of the channels with the target, and with each other (the upper triangle).
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
    """Of every pixel's symmetric 3 × 3 system the solution, three planes; all (h, w).

    By the factors L·D·Lᵀ (Golub, Van Loan, "Matrix Computations", 4.1): in a window of two colours
    the matrix is all but singular, and its cofactors are then nothing but rounding.

    Args:
        matrix: the upper triangle, row by row.
        right: the right-hand side.
        least: no pivot is less: what was added to the matrix's diagonal.
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
    """(256,) uint8: without haze at both ends, and as it was between them."""
    alpha = np.arange(256) / 255
    low = np.clip(2 * (alpha - haze), 0, alpha)
    high = 1 - np.clip(2 * (1 - alpha - haze), 0, 1 - alpha)
    curve: UInt8Array = np.rint(255 * np.where(alpha < 0.5, low, high)).astype(np.uint8)
    return curve


def _enlarged_rows(plane: FloatArray, top: int, count: int, size: tuple[int, int]) -> FloatArray:
    """Rows `top` to `top + count` of an (h, w) plane brought to `size`, (H, W), bilinearly."""
    height, width = size
    rows = plane.shape[0]
    # Centres of pixels correspond, as in cv2.resize; between rows by hand, since this is a part.
    place = (np.arange(top, top + count, dtype=np.float32) + 0.5) * (rows / height) - 0.5
    place = np.clip(place, 0.0, rows - 1.0)
    above = np.minimum(place.astype(np.intp), max(0, rows - 2))
    below = np.minimum(above + 1, rows - 1)
    share = (place - above).astype(np.float32).reshape(-1, 1)
    narrow = plane[above] * (1.0 - share) + plane[below] * share
    return larger(narrow, count, width)


def _apply(planes: tuple[FloatArray, ...], rgb: UInt8Array, top: int, height: int) -> UInt8Array:
    """Alpha of the rows of `rgb`, which begin at `top` of `height`."""
    count, width = rgb.shape[:2]
    # Plane by plane: a tile of four interleaved channels is ten times slower.
    total = _enlarged_rows(planes[3], top, count, (height, width))
    for plane, channel in zip(planes[:3], cv2.split(rgb), strict=True):
        total += _enlarged_rows(plane, top, count, (height, width)) * channel.reshape(count, width)
    total += 0.5
    np.clip(total, 0.0, 255.0, out=total)
    alpha: UInt8Array = total.astype(np.uint8)
    return alpha
