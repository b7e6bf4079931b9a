"""Rates the confidence of a classical cut and lists reasons to review it."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import BoolArray
from worker.segmenters.classical.choice import Traits
from worker.segmenters.classical.hints import Hints

# From this difference between the colours inside and outside on, colours cause no doubt.
_CLEAR = 0.6
# Below this difference, part of the subject is probably cut as background, or the reverse.
_ALIKE = 0.45

# Without a click, good cuts of the thirteen photos are above this, most bad ones below.
_UNSURE = 0.86
# Callers who clicked look at the result themselves, so only very poor cuts are flagged.
_UNSURE_PROMPTED = 0.45

_TINY, _FULL = 0.005, 0.72
# A side counts as touched if more than this share of its length is covered.
_TOUCHED = 0.05
# Second piece, as a share of the largest, that counts as another subject; number of pieces from
# which a cut counts as fragmented.
_SECOND, _RUBBLE = 0.25, 6


def confidence(found: Traits) -> float:
    """Agreement of the hypotheses, 0..1, reduced where subject and background colours are alike.

    It is a rank rather than a probability. Of the cuts without a click, it was below `_UNSURE` for
    all 18 with less than 0.88 IoU, and for 6 of the 59 with 0.9 IoU or more.
    """
    return min(1.0, max(0.0, found.agreement)) * min(1.0, float(np.sqrt(found.distinct / _CLEAR)))


def reasons(hints: Hints, region: BoolArray, found: Traits) -> tuple[str, ...]:
    """The names of the reasons to review the cut; empty if there are none.

    With a click, a box or an earlier mask, only `low_confidence`; otherwise also
    `resembles_background`, `several_subjects`, `fragmented`, `tiny`, `fills_frame` and
    `touches_border`.
    """
    prompted = bool(len(hints.subject)) or hints.boxed or hints.prior is not None
    if prompted:
        return ("low_confidence",) if confidence(found) < _UNSURE_PROMPTED else ()
    areas = _areas(region)
    share = float(region.mean())
    doubts = {
        "low_confidence": confidence(found) < _UNSURE,
        "resembles_background": found.distinct < _ALIKE,
        "several_subjects": len(areas) > 1 and areas[1] >= _SECOND * areas[0],
        "fragmented": len(areas) >= _RUBBLE,
        "tiny": share < _TINY,
        "fills_frame": share > _FULL,
        "touches_border": _runs_through(region),
    }
    return tuple(name for name, doubtful in doubts.items() if doubtful)


def _areas(region: BoolArray) -> list[int]:
    """Area of each piece in pixels, largest first."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=4)
    return sorted((int(stats[i, cv2.CC_STAT_AREA]) for i in range(1, count)), reverse=True)


def _runs_through(region: BoolArray) -> bool:
    """Whether the region touches two opposite sides of the picture.

    Scenery usually does; a bust or a bag on a table touches one side, or two adjacent ones.
    """
    top, bottom, left, right = (
        float(side.mean()) > _TOUCHED
        for side in (region[0], region[-1], region[:, 0], region[:, -1])
    )
    return (top and bottom) or (left and right)
