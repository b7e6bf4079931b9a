"""Confidence of a classical cut, and the reasons to review it."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import BoolArray
from worker.segmenters.classical.choice import Traits
from worker.segmenters.classical.hints import Hints

# Colours inside and outside that differ by this much, or more, leave no doubt.
_CLEAR = 0.6
# Below this, part of the subject is probably taken for background, or the reverse.
_ALIKE = 0.45

# Right cuts of the thirteen photos without a click stay above; most wrong ones fall below.
_UNSURE = 0.86
# Callers who clicked see the result themselves, so only hopeless cuts are flagged.
_UNSURE_PROMPTED = 0.45

_TINY, _FULL = 0.005, 0.72
# A side counts as touched from this share of its length on.
_TOUCHED = 0.05
# A second piece of this share of the first is another subject; this many pieces are rubble.
_SECOND, _RUBBLE = 0.25, 6


def confidence(found: Traits) -> float:
    """0..1: how far the hypotheses agree, less where colours do not tell subject from ground.

    A rank more than a probability: of 18 cuts without a click below 0.88 IoU it put 18 below
    `_UNSURE`, and of 59 from 0.9 on, 6.
    """
    return min(1.0, max(0.0, found.agreement)) * min(1.0, float(np.sqrt(found.distinct / _CLEAR)))


def reasons(hints: Hints, region: BoolArray, found: Traits) -> tuple[str, ...]:
    """The names of what is doubtful, empty where nothing is.

    `low_confidence`; without a click or a box also `resembles_background`, `several_subjects`,
    `fragmented`, `tiny`, `fills_frame` and `touches_border`.
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
    """Pixels of each piece, the largest first."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=4)
    return sorted((int(stats[i, cv2.CC_STAT_AREA]) for i in range(1, count)), reverse=True)


def _runs_through(region: BoolArray) -> bool:
    """Touches two opposite sides: scenery does; a bust or a bag on a table rests on one or two."""
    top, bottom, left, right = (
        float(side.mean()) > _TOUCHED
        for side in (region[0], region[-1], region[:, 0], region[:, -1])
    )
    return (top and bottom) or (left and right)
