"""Measures how soft a mask's outline is, which shows how far off the mask may be."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from shared.arrays import FloatArray

#: Side of the window over which softness is averaged, in mask pixels.
_STRETCH = 21

#: Percentile of the outline's widths taken as its crispest: neither noise nor hair should decide.
_CRISPEST = 5

#: Doubt by the width of the crispest stretches, in mask pixels, linear between. A true alpha
#: reduced to mask size ramps over 1.7 to 2.1 pixels; a network's mask that is 1 to 2 pixels off,
#: over 2.7 or more. A ramp steeper than any reduction gives was thresholded and shows nothing of
#: its error.
_WIDTHS, _DOUBTS = (1.2, 1.5, 2.2, 2.7), (1.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Outline:
    """A mask's outline.

    Attributes:
        width: (h, w) float32, over how many mask pixels the outline near by goes from 0 to 1;
            where it is hair, and not one edge, over many.
        doubt: 0 where the mask is alpha itself, reduced; 1 where its outline may lie wrong.
    """

    width: FloatArray
    doubt: float


def read(mask: FloatArray) -> Outline:
    """The outline of a soft (h, w) float32 mask in 0..1.

    The integral of 4·m·(1 - m) across an edge measures its width, and that of the gradient is 1;
    the ratio of the two, each summed near by, gives the width without tracing the outline.
    """
    ramp = 4 * mask * (1 - mask)
    across, down = (
        cv2.Sobel(mask, cv2.CV_32F, *order, scale=1 / 8, borderType=cv2.BORDER_REFLECT)
        for order in ((1, 0), (0, 1))
    )
    steps = np.asarray(cv2.magnitude(across, down), np.float32).reshape(mask.shape)
    floor = np.float32(0.01)  # far from any outline the average holds
    average = float(ramp.sum()) / max(float(steps.sum()), 1e-3)
    width = (_near(ramp) + floor * np.float32(average)) / (_near(steps) + floor)
    outline = width[(mask > 0.2) & (mask < 0.8)]
    crispest = float(np.percentile(outline, _CRISPEST)) if outline.size else 0.0
    return Outline(np.asarray(width, np.float32), float(np.interp(crispest, _WIDTHS, _DOUBTS)))


def _near(values: FloatArray) -> FloatArray:
    mean = cv2.blur(values, (_STRETCH, _STRETCH), borderType=cv2.BORDER_REFLECT)
    return np.asarray(mean, np.float32).reshape(values.shape)
