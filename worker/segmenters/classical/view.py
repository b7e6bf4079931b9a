"""Reduces a photo to what the classical cut needs, so that it can be cached."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.arrays import FloatArray, UInt8Array
from worker.segmenters.classical.palette import Palette, mix_palette, nearest

#: Longest side at which hypotheses are compared, in pixels. A smaller one loses thin parts (at 128,
#: the best hypothesis loses 0.02 to 0.1 IoU); a larger one costs time without gain.
COARSE = 160

#: Longest side at which the chosen hypothesis is finished, and of the returned mask, in pixels.
FINE = 512

#: Shortest side of both sizes, in pixels: a 1 × 4000 photo is stretched rather than refused.
SHORTEST = 16

# Weight of lightness relative to a and b, and of log detail relative to Lab units. Lightness weighs
# less because shading varies more within an object than hue; a factor of e in detail counts as six
# Lab units.
_LIGHTNESS, _DETAIL = 0.7, 6.0

# Scale of the contrast planes: 1.5 levels per Lab unit.
_CONTRAST = 1.5

IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class View:
    """A photo prepared for the classical cut.

    Attributes:
        width: width of the photo, in pixels.
        height: height of the photo, in pixels.
        fine: (H, W, 3) uint8 RGB, longest side `FINE`.
        detail: (h, w) float32, log of the local strength of fine detail; higher is sharper.
        gradient: (h, w) float32, local contrast in Lab units per pixel.
        contrast: (h, w, 2) uint8, the two principal colour axes, for the cut's smoothness.
        codes: (h, w) intp, the palette entry nearest to each pixel.
        palette: the palette of the photo.
    """

    width: int
    height: int
    fine: UInt8Array
    detail: FloatArray
    gradient: FloatArray
    contrast: UInt8Array
    codes: IntArray
    palette: Palette

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width at which hypotheses are compared."""
        return self.codes.shape[0], self.codes.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes used, for a cache with a limit in bytes."""
        arrays = (self.fine, self.detail, self.gradient, self.contrast, self.codes)
        return sum(array.nbytes for array in arrays) + self.palette.nbytes


def _size(width: int, height: int, longest: int) -> tuple[int, int]:
    scale = longest / max(width, height)
    return max(SHORTEST, round(width * scale)), max(SHORTEST, round(height * scale))


def resize(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """Resize (H, W, C) uint8 to `size` (width, height), averaging areas to reduce."""
    smaller = size[0] < image.shape[1] or size[1] < image.shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), dtype=np.uint8)


def lab_of(rgb: UInt8Array) -> FloatArray:
    """Convert (H, W, 3) uint8 sRGB to CIE Lab, float32: L in 0..100, a and b around 0."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / np.float32(255.0), cv2.COLOR_RGB2LAB)
    return np.asarray(lab, dtype=np.float32)


def features_of(lab: FloatArray, detail: FloatArray) -> FloatArray:
    """Features for the palette, (N, 4) float32: weighted Lab and log detail."""
    planes = (lab[..., 0] * _LIGHTNESS, lab[..., 1], lab[..., 2], detail * _DETAIL)
    features: FloatArray = np.stack(planes, axis=-1).reshape(-1, 4).astype(np.float32)
    return features


def _detail(fine: UInt8Array, size: tuple[int, int]) -> FloatArray:
    """Log of 1 plus the root mean square of what a 1.2 px blur removes; 1 is the noise floor."""
    grey = cv2.cvtColor(fine, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fringe = grey - cv2.GaussianBlur(grey, (0, 0), 1.2)
    energy = cv2.GaussianBlur(fringe * fringe, (0, 0), 4.0)
    reduced = cv2.resize(energy, size, interpolation=cv2.INTER_AREA)
    detail: FloatArray = np.log1p(np.sqrt(np.maximum(reduced, 0.0))).astype(np.float32)
    return detail


def _gradient(lab: FloatArray) -> FloatArray:
    smooth = cv2.GaussianBlur(lab, (0, 0), 0.7)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    gradient: FloatArray = np.sqrt((across**2 + down**2).sum(axis=-1))
    return gradient


def contrast_of(lab: FloatArray) -> UInt8Array:
    """Project (H, W, 3) Lab on its two principal axes, (H, W, 2) uint8."""
    pixels = lab.reshape(-1, 3)
    centred = pixels - pixels.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    planes = centred @ axes[:, :0:-1].astype(np.float32)
    quantised: UInt8Array = np.clip(planes * _CONTRAST + 128.0, 0, 255).astype(np.uint8)
    return quantised.reshape(*lab.shape[:2], 2)


def take_in(rgb: UInt8Array) -> View:
    """Reduce a photo, (H, W, 3) uint8 RGB of any size, to a `View`; deterministic."""
    height, width = rgb.shape[:2]
    fine = resize(rgb, _size(width, height, FINE))
    size = _size(width, height, COARSE)
    lab = lab_of(resize(fine, size))
    detail = _detail(fine, size)
    features = features_of(lab, detail)
    palette = mix_palette(features)
    return View(
        width=width,
        height=height,
        fine=fine,
        detail=detail,
        gradient=_gradient(lab),
        contrast=contrast_of(lab),
        codes=nearest(features, palette).reshape(lab.shape[:2]),
        palette=palette,
    )
