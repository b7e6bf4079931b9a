"""Turns a guess into a region by alternately modelling colours and cutting."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import BoolArray, FloatArray
from worker.segmenters.classical.flow import minimum_cut
from worker.segmenters.classical.guesses import Guess
from worker.segmenters.classical.hints import Hints, distances
from worker.segmenters.classical.palette import SUREST, histogram, log_odds
from worker.segmenters.classical.sides import open_sides, rim, strips
from worker.segmenters.classical.view import View

# More rounds change nothing (two against seven: 0.000).
_ROUNDS = 2

# Pieces smaller than this share of the largest are dropped as dust, unless a click asks for them.
_DUST = 0.1

#: Side of a cell of `nearby_odds`, in pixels.
CELL = 4

# For `nearby_odds`: standard deviation of the Gaussian, as a share of the short side; weight of the
# whole picture; nearby pixels per cell at which the surroundings count half.
_REACH, _WHOLE, _SCARCE = 0.2, 0.3, 1.0

# A piece counts as part of an earlier mask if the first region covers this share of it.
_KNOWN = 0.3

# Weight added around clicks, as a share of the total weight of their side (subject or background),
# and the radius in which it is added, as a share of the short side.
_EMPHASIS, _AROUND = 0.15, 0.05

# A click within this share of the short side from a side of the picture opens that side.
_AT_SIDE = 0.03


def odds_of(view: View, region: FloatArray, ground: FloatArray) -> FloatArray:
    """Log odds of each palette entry, (K,), from (h, w) weights of subject and background."""
    return log_odds(
        histogram(view.codes, region, view.palette), histogram(view.codes, ground, view.palette)
    )


def nearby_odds(view: View, region: FloatArray, ground: FloatArray) -> FloatArray:
    """Log odds of each palette entry in each cell, (m, n, K), from the surroundings of the cell.

    A colour may be subject in one place and background in another, such as a white muzzle in front
    of white books. Cells are `CELL` pixels wide; each counts its neighbours with Gaussian weights,
    and the whole picture with a small weight.
    """
    height, width = view.shape
    cells = (-(-height // CELL), -(-width // CELL))
    length = len(view.palette.centres)
    row, column = np.ogrid[:height, :width]
    index = ((row // CELL) * cells[1] + column // CELL) * length + view.codes
    sigma = _REACH * min(height, width) / CELL
    shares = []
    for weights in (region, ground):
        counts = np.bincount(
            index.ravel(), weights=weights.ravel(), minlength=cells[0] * cells[1] * length
        ).astype(np.float32)
        blurred = cv2.GaussianBlur(
            counts.reshape(*cells, length), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT
        )
        near = np.asarray(blurred, np.float32).reshape(*cells, length)  # OpenCV drops an axis of 1
        whole = counts.reshape(-1, length).sum(axis=0)
        whole *= _WHOLE / max(1.0, float(whole.sum()))
        total = near.sum(axis=2, keepdims=True)
        # Far from a region there are no counts nearby; the whole picture then decides.
        mixed = near / (total + _SCARCE) + whole
        spread = mixed.reshape(-1, length) @ view.palette.kernel
        shares.append(spread / np.maximum(spread.sum(axis=1, keepdims=True), 1e-9))
    return log_odds(*shares).reshape(*cells, length)


def _opened(view: View, hints: Hints, guess: Guess) -> tuple[bool, ...]:
    height, width = view.shape
    reach = _AT_SIDE * min(height, width)
    near = [False] * 4
    for x, y in hints.subject:
        gaps = (y, height - 1 - y, x, width - 1 - x)
        near = [was or gap < reach for was, gap in zip(near, gaps, strict=True)]
    found = open_sides(view, guess.core)
    return tuple(is_open or is_near for is_open, is_near in zip(found, near, strict=True))


def pursue(view: View, hints: Hints, guess: Guess) -> BoolArray:
    """Find the region that a guess leads to, (h, w) bool, without stray pieces."""
    is_open = _opened(view, hints, guess)
    closed = np.zeros(view.shape, dtype=bool)
    freed = np.zeros(view.shape, dtype=bool)
    for strip, side_open in zip(strips(view.shape), is_open, strict=True):
        (freed if side_open else closed)[strip] = True
    fixed = hints.fixed.copy()
    fixed[rim(view.shape, is_open) & (fixed == 0)] = -1

    region = (guess.start & ~closed & (fixed == 0)) | (fixed > 0)
    ground = (~region & ~freed).astype(np.float32)
    outside = (closed | ~hints.within) & ~region
    # The closed sides and the outside of the box count as much as all other background, because
    # they are certain and the rest is a guess.
    ground[outside] += ground.sum() / max(1, int(outside.sum()))
    for _ in range(_ROUNDS):
        if not region.any() or not ground.any():
            break
        weights = region.astype(np.float32)
        _emphasise(weights, hints.subject)
        _emphasise(ground, hints.ground)
        if guess.nearby:
            row, column = np.ogrid[: view.shape[0], : view.shape[1]]
            table = nearby_odds(view, weights, ground)
            odds = table[row // CELL, column // CELL, view.codes]
        else:
            odds = odds_of(view, weights, ground)[view.codes]
        region = minimum_cut(odds + hints.lean, fixed, view.contrast, guess.stiffness, SUREST)
        ground = (~region).astype(np.float32)
    return pieces(region, hints, guess.start)


def _emphasise(weights: FloatArray, points: FloatArray) -> None:
    """Add weight around the clicks, in place; does nothing for fewer than two clicks."""
    if len(points) < 2:
        return
    around = distances((weights.shape[0], weights.shape[1]), points)
    around = (around < _AROUND * min(weights.shape)) & (weights > 0)
    weights[around] += _EMPHASIS * weights.sum() / max(1, int(around.sum()))


def pieces(region: BoolArray, hints: Hints, start: BoolArray) -> BoolArray:
    """Keep the pieces with a click on the subject; without clicks, all but dust."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        region.astype(np.uint8), connectivity=4
    )
    if count <= 2:
        return region
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = np.zeros(count, dtype=bool)
    kept[1:] = areas >= _DUST * areas.max()
    if hints.prior is not None:
        # Pieces that were not in the earlier mask stay out unless a click asks for them.
        before = np.bincount(labels[start], minlength=count)[1:]
        kept[1:] &= before >= _KNOWN * areas
    if len(hints.subject):
        columns, rows = hints.subject.astype(int).T
        # An earlier mask may have several pieces; without one, a click means only its own piece.
        kept[:] = kept & (hints.prior is not None)
        kept[labels[rows, columns]] = True
        kept[0] = False
    chosen: BoolArray = kept[labels]
    return chosen
