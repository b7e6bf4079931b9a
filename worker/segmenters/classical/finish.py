"""Redraws the chosen region at the fine size, in a band around its outline."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import BoolArray, FloatArray
from worker.segmenters.classical.flow import SignArray, minimum_cut
from worker.segmenters.classical.hints import Hints
from worker.segmenters.classical.hypotheses import odds_of
from worker.segmenters.classical.palette import SUREST, nearest
from worker.segmenters.classical.view import View, contrast_of, features_of, lab_of

# Half the band's width, as a share of the short side.
_BAND = 0.04
_STIFFNESS = 0.35

# Standard deviation of the blur of the hard mask, in fine pixels. It lets an edge filter place the
# edge between pixels; thresholded at 0.5 the result is the hard mask again, except at corners.
_SOFTNESS = 0.8


def redraw(view: View, hints: Hints, region: BoolArray) -> FloatArray:
    """Redraw the mask at the fine size, (H, W) float32 in 0..1.

    Args:
        view: the photo.
        hints: the prompt at the fine size.
        region: (h, w) bool at the coarse size.
    """
    shape = view.fine.shape[:2]
    size = (shape[1], shape[0])
    wide = cv2.resize(region.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    fixed = np.where(wide >= 0.5, 1, -1).astype(np.int8)
    radius = max(2, round(_BAND * min(shape)))
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    sure = fixed > 0
    band = cv2.dilate(sure.astype(np.uint8), element) != cv2.erode(sure.astype(np.uint8), element)
    fixed[band] = 0
    fixed[hints.fixed != 0] = hints.fixed[hints.fixed != 0]
    mask = fixed > 0
    if band.any():
        mask = _recut(view, hints, region, fixed)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _SOFTNESS)
    return obey(np.asarray(soft, dtype=np.float32), hints)


def _recut(view: View, hints: Hints, region: BoolArray, fixed: SignArray) -> BoolArray:
    """Cut the free pixels; computes only the window around them."""
    undecided = fixed == 0
    rows, columns = np.flatnonzero(undecided.any(axis=1)), np.flatnonzero(undecided.any(axis=0))
    mask: BoolArray = fixed > 0
    if not len(rows):
        return mask
    window = (
        slice(max(0, int(rows[0]) - 1), int(rows[-1]) + 2),
        slice(max(0, int(columns[0]) - 1), int(columns[-1]) + 2),
    )
    table = odds_of(view, region.astype(np.float32), (~region).astype(np.float32))
    free = undecided[window]
    lab = lab_of(np.ascontiguousarray(view.fine[window]))
    detail = cv2.resize(view.detail, fixed.shape[::-1], interpolation=cv2.INTER_LINEAR)[window]
    odds = np.zeros(free.shape, dtype=np.float32)
    codes = nearest(features_of(lab[free], detail[free]), view.palette)
    odds[free] = table[codes] + hints.lean[window][free]
    mask[window] = minimum_cut(odds, fixed[window], contrast_of(lab), _STIFFNESS, SUREST)
    return mask


def obey(mask: FloatArray, hints: Hints) -> FloatArray:
    """Make the mask obey the prompt: empty outside the box, and set around each click.

    A click sets 5 × 5 pixels where the mask disagreed with it and 3 × 3 where it agreed. A value
    that is constant over such an area is kept by the edge filter.
    """
    obeyed = np.where(hints.within, mask, np.float32(0.0))
    for points, value in ((hints.subject, 1.0), (hints.ground, 0.0)):
        for x, y in points.astype(int):
            reach = 1 if abs(float(obeyed[y, x]) - value) < 0.5 else 2
            spot = (
                slice(max(0, y - reach), y + reach + 1),
                slice(max(0, x - reach), x + reach + 1),
            )
            allowed = hints.fixed[spot] != (-1 if value else 1)
            obeyed[spot] = np.where(allowed, np.float32(value), obeyed[spot])
    return obeyed
