"""Makes first guesses of where the subject is; they compete, as no single radius always fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from shared.arrays import BoolArray, FloatArray
from worker.segmenters.classical.hints import Hints, distances
from worker.segmenters.classical.view import View

#: Stiffness of the cut: a loose cut keeps thin parts, a firm cut bridges patterns.
LOOSE, FIRM = 0.35, 1.0

# Radii of the discs and standard deviations of the sharpness windows, as shares of the short side,
# each with its stiffness.
_DISCS = ((0.2, LOOSE), (0.45, LOOSE), (0.8, LOOSE), (0.3, FIRM), (0.8, FIRM))
_WINDOWS = ((0.65, LOOSE), (0.4, FIRM))
# Standard deviation of the window on the whole picture, as shares of its width and height, because
# subjects are usually centred and in focus.
_CENTRE = 0.25
# Radii of the ellipses in a box, as shares of half its sides, each with its stiffness. Above 1 they
# include part of the corners; at 1.5 they fill the box.
_ELLIPSES = ((0.7, LOOSE), (1.0, LOOSE), (1.5, LOOSE), (0.7, FIRM), (1.0, FIRM), (1.5, FIRM))
_FULL = 1.5
_SMOOTHING = 0.03

# Radius around a click, as a share of the short side, in which it changes an earlier mask before
# the cut.
_AMENDED = 0.08


@dataclass(frozen=True, slots=True)
class Guess:
    """A first guess from which a hypothesis is cut.

    Attributes:
        start: (h, w) bool, the first region of the subject.
        core: (h, w) bool, the part used as a sample of the subject's colours.
        stiffness: stiffness of the cut.
        nearby: whether colours are compared with nearby ones instead of the whole picture.
    """

    start: BoolArray
    core: BoolArray
    stiffness: float
    nearby: bool = False


def focus(view: View) -> FloatArray:
    """Relative sharpness of each neighbourhood of the photo, (h, w) float32 in 0..1."""
    smooth = cv2.GaussianBlur(view.detail, (0, 0), max(0.5, _SMOOTHING * min(view.shape)))
    low, high = float(smooth.min()), float(smooth.max())
    sharp: FloatArray = (smooth - low) / max(high - low, 1e-6)
    return sharp


def _upper(values: FloatArray, where: BoolArray) -> BoolArray:
    """The pixels of `where` above Otsu's threshold of its values."""
    low, high = float(values.min()), float(values.max())
    levels = ((values - low) * (255.0 / max(high - low, 1e-6))).astype(np.uint8)
    threshold, _ = cv2.threshold(levels[where].reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)
    upper: BoolArray = (levels > threshold) & where
    return upper


def _frame_distance(hints: Hints) -> FloatArray:
    """Distance from the centre of the frame, in half sides: 1 on the inscribed ellipse."""
    x1, y1, x2, y2 = hints.frame
    rows, columns = np.ogrid[: hints.shape[0], : hints.shape[1]]
    across = (columns - (x1 + x2 - 1) / 2) / ((x2 - x1) / 2)
    down = (rows - (y1 + y2 - 1) / 2) / ((y2 - y1) / 2)
    away: FloatArray = np.hypot(across, down).astype(np.float32)
    return away


def _same(region: BoolArray, stiffness: float) -> Guess:
    return Guess(region, region, stiffness)


def _from_prior(prior: FloatArray, hints: Hints) -> Iterator[Guess]:
    start = (prior >= 0.5) & hints.within
    columns, rows = hints.ground.astype(int).T
    _, labels = cv2.connectedComponents(start.astype(np.uint8), connectivity=4)
    denied = np.unique(labels[rows, columns])
    columns, rows = hints.subject.astype(int).T
    denied = np.setdiff1d(denied, [0, *labels[rows, columns]])
    if len(denied) < labels.max():
        start &= ~np.isin(labels, denied)  # such a click removes the whole piece
    reach = _AMENDED * min(hints.shape)
    to_subject = distances(hints.shape, hints.subject)
    to_ground = distances(hints.shape, hints.ground)
    start |= (to_subject < reach) & (to_subject < to_ground)
    start &= ~((to_ground < reach) & (to_ground < to_subject))
    # The mask says where to look, so only nearby colours are compared: distant ones could mislead.
    for stiffness in (LOOSE, FIRM):
        yield Guess(start, start, stiffness, nearby=True)


def _from_box(hints: Hints, sharp: FloatArray) -> Iterator[Guess]:
    away, within = _frame_distance(hints), hints.within
    for radius, stiffness in _ELLIPSES:
        yield Guess((away < radius) & within, (away < radius * 0.5) & within, stiffness)
    for stiffness in (LOOSE, FIRM):
        yield _same(_upper(sharp * np.exp(-(away**2)), within), stiffness)
    yield Guess((away < _FULL) & within, within, LOOSE, nearby=True)


def _from_centre(hints: Hints, away: FloatArray, sharp: FloatArray) -> Iterator[Guess]:
    """Guesses around the clicks, or around the middle if there are none."""
    within = hints.within
    for radius, stiffness in _DISCS:
        yield Guess((away < radius) & within, (away < radius * 0.5) & within, stiffness)
    for width, stiffness in _WINDOWS:
        yield _same(_upper(sharp * np.exp(-((away / width) ** 2) / 2), within), stiffness)
    middle = _frame_distance(hints) / 2
    yield _same(_upper(sharp * np.exp(-((middle / _CENTRE) ** 2) / 2), within), LOOSE)


def guesses(view: View, hints: Hints) -> list[Guess]:
    """List the guesses worth trying for these hints, at the size of the view."""
    if hints.prior is not None and (hints.prior >= 0.5).any():
        return list(_from_prior(hints.prior, hints))
    short = min(hints.shape)
    clicks = hints.subject
    if hints.boxed and not len(clicks):
        found = list(_from_box(hints, focus(view)))
    else:
        if not len(clicks):
            x1, y1, x2, y2 = hints.frame
            clicks = np.array([[(x1 + x2) / 2, (y1 + y2) / 2]], dtype=np.float32)
        away = distances(hints.shape, clicks) / np.float32(short)
        found = list(_from_centre(hints, away, focus(view)))
        if hints.boxed:
            found += list(_from_box(hints, focus(view)))[:3]
    if len(hints.ground):
        # Pixels close to a click on the background, and nearer to it than to any on the subject,
        # are left out of the first guesses.
        to_ground = distances(hints.shape, hints.ground)
        to_subject = distances(hints.shape, hints.subject)
        barred = (to_ground < to_subject) & (to_ground < 0.1 * short)
        found = [Guess(g.start & ~barred, g.core & ~barred, g.stiffness) for g in found]
    return found
