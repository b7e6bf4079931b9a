"""The first estimate of alpha from a mask: the mask, moved and sharpened to the photo's edges."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import FloatArray
from worker.matting.guided import LocalLinear, blurred, fit

#: Half the window, in mask pixels: for a mask that is right, and for one that may be 2 pixels off,
#: which needs a window in which most of it is right.
_RADIUS = (2, 10)

#: Blur of the guide, in mask pixels. A mask is a blurred alpha, and alpha is locally linear in the
#: colours, so the mask is linear in colours with the same blur. An outline that may be 2 pixels off
#: is blurred by that much more.
_BLUR = (0.6, 2.2)

#: Regularisation, in squared intensities of 0..1.
_EPSILON = (1e-5, 1e-4)

#: Values this near to 0 or 1 are uncertainty, not alpha; kept, they are a grey veil on white.
_HAZE = (0.012, 0.08)

#: How far from the outline hair or an error may reach, in mask pixels. Beyond it the mask is
#: trusted.
_REACH = (8, 16)


def aligned(mask: FloatArray, guide: FloatArray, doubt: float) -> LocalLinear:
    """Alpha of a soft mask by a guided filter, with a wider window for a more doubtful mask.

    Args:
        mask: (h, w) float32 in 0..1.
        guide: (h, w, 3) float32, see `guided.guide_of`.
        doubt: see `outline.Outline`.
    """
    epsilon = _between(_EPSILON, doubt)
    radius = round(_between(_RADIUS, doubt))
    return fit(mask, blurred(guide, _between(_BLUR, doubt)), radius, epsilon)


def haze_of(doubt: float) -> float:
    """How near to 0 or 1 alpha may come without being 0 or 1."""
    return _between(_HAZE, doubt)


def known(mask: FloatArray, doubt: float) -> FloatArray:
    """(h, w) float32: 1 where the mask is far from any outline, 0 in the unknown band round it."""
    return settled(mask, round(_between(_REACH, doubt)), 0.1)


def settled(alpha: FloatArray, reach: int, tolerance: float) -> FloatArray:
    """1 where all within `reach` pixels is within `tolerance` of 0, or all of 1; (h, w) float32."""
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    highest = cv2.dilate(alpha, window, borderType=cv2.BORDER_REFLECT)
    lowest = cv2.erode(alpha, window, borderType=cv2.BORDER_REFLECT)
    return np.asarray((highest < tolerance) | (lowest > 1 - tolerance), np.float32)


def _between(ends: tuple[float, float], doubt: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * doubt
