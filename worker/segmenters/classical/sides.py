"""Finds the sides of the picture at which the subject is cut off.

A subject often touches a side, such as a bust or a bag on a table. Using every side as background
would then put subject colours in the background model; using none would leave that model without
pixels. The colours of each side are therefore compared with those of the subject's first guess and
of the other sides.
"""

from __future__ import annotations

import numpy as np

from shared.arrays import BoolArray, FloatArray
from worker.segmenters.classical.palette import histogram
from worker.segmenters.classical.view import View

#: Depth of the strip along each side, as a share of the short side.
DEPTH = 0.04

# Least share of a side's pixels that must match the subject for it to be open: for the side most
# like the subject, and for the others.
_FIRST, _OTHERS = 0.28, 0.6
_FLOOR = 1e-5


def strips(shape: tuple[int, int]) -> tuple[BoolArray, ...]:
    """The strips along top, bottom, left and right, each (h, w) bool."""
    depth = max(1, round(DEPTH * min(shape)))
    sides = tuple(np.zeros(shape, dtype=bool) for _ in range(4))
    sides[0][:depth] = sides[1][-depth:] = True
    sides[2][:, :depth] = sides[3][:, -depth:] = True
    return sides


def open_sides(view: View, seed: BoolArray) -> tuple[bool, ...]:
    """Whether the subject, whose core is `seed`, is cut off at top, bottom, left and right."""
    sides = [strip.astype(np.float32) for strip in strips(view.shape)]
    subject = histogram(view.codes, seed.astype(np.float32), view.palette)
    shares = [histogram(view.codes, side, view.palette) for side in sides]
    counts = [_counts(view, side) for side in sides]
    fits = np.zeros(4)
    for side in range(4):
        others = np.mean([shares[other] for other in range(4) if other != side], axis=0)
        alike = subject + _FLOOR > others + _FLOOR
        fits[side] = counts[side][alike].sum() / max(1.0, float(counts[side].sum()))
    most = int(fits.argmax())
    return tuple(
        bool(fit >= (_FIRST if side == most else _OTHERS)) for side, fit in enumerate(fits)
    )


def _counts(view: View, side: FloatArray) -> FloatArray:
    length = len(view.palette.centres)
    counts = np.bincount(view.codes.ravel(), weights=side.ravel(), minlength=length)
    return counts.astype(np.float32)


def rim(shape: tuple[int, int], is_open: tuple[bool, ...]) -> BoolArray:
    """The outermost pixels along every closed side, (h, w) bool."""
    top, bottom, left, right = (0 if side else 1 for side in is_open)
    edge = np.ones(shape, dtype=bool)
    edge[top : shape[0] - bottom, left : shape[1] - right] = False
    return edge
